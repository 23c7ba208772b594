import type { z } from 'zod'

type Schema = z.core.JSONSchema.BaseSchema

const GENERATED =
  '<!-- Written by scripts/generate-config-reference.ts: change src/config/file/schema.ts, src/config/file/schema-routes.ts or scripts/configuration-page.ts, not this file. -->'

/** `docs/reference/configuration.md`: what holds everywhere, then a table for each map in the file. */
export function configurationPage(root: Schema): string {
  const at = (...path: string[]): Schema => path.reduce((schema, key) => memberOf(schema, key), root)
  return `${[
    '# Configuration',
    GENERATED,
    'One YAML file: `understudy serve --config FILE`. [`config/understudy.yaml`](../../config/understudy.yaml) is an example with comments. `understudy check FILE` names every mistake with its line and column.',
    'A running Understudy follows its file: when the file changes (also by the swap of a mounted directory, as Kubernetes does it), on SIGHUP, and on `POST /api/v1/config/reload`. A new configuration is put in force as a whole or not at all; with a mistake in it, the last good one stays. What is no regular file (`--config <(envsubst < template)`) is read once, at the start: a reload is refused, unless that start goes on with the routes of the last run and what was read is still to be put in force; its phases cannot be changed by `understudy phase`.',
    'For completion and checks while typing, begin the file with `# yaml-language-server: $schema=PATH/understudy.schema.json`.',

    '## The file',
    table(root),
    '### `listen[]`',
    table(at('listen', '[]')),
    '### `admin`',
    table(at('admin')),
    '### `stores.NAME`',
    table(at('stores', '[]')),
    'A cluster has no databases but 0.',
    '### `tls` of a listener',
    table(at('listen', '[]', 'tls')),
    '`more` is a list of `{ cert, key }`.',
    '### `tls` of a store',
    table(at('stores', '[]', 'tls')),
    '### `clients`',
    table(at('clients')),
    '### `outputBuffer` of `clients`',
    table(at('clients', 'outputBuffer')),
    'A size alone is `hard`. The same keys stand in `pubsub`.',
    '### `cutover`',
    table(at('cutover')),
    '### `log`',
    table(at('log')),
    '### `routes[]`',
    table(at('routes', '[]')),
    '### `source` and `target` of a route',
    table(at('routes', '[]', 'target')),
    '### `mirror` of a route',
    table(at('routes', '[]', 'mirror')),
    '### `compare` of a route',
    table(at('routes', '[]', 'compare')),
    '### `compare.ignore` of a route',
    table(at('routes', '[]', 'compare', 'ignore')),
    '### `compare.acknowledge[]` of a route',
    table(at('routes', '[]', 'compare', 'acknowledge', '[]')),

    '## Phases',
    PHASE_TABLE,
    '*Source* and *target* keep their meaning throughout. *Primary* is the store that answers writes: the source up to `read-target`, the target from `switched` on.',

    '## Patterns',
    PATTERNS,
    '## Renames',
    RENAMES,
    '## Values',
    VALUES,
    '## Environment',
    ENVIRONMENT,
  ].join('\n\n')}\n`
}

const PHASE_TABLE = `| phase | reads served by | writes go to | sampled reads compared | way back |
| --- | --- | --- | --- | --- |
| \`passthrough\` | source | source | no | |
| \`mirror\` | source | source, then target | no | edit the line back |
| \`shadow\` | source | source, then target | with the target | edit the line back |
| \`read-target\` | target; source when the target misses, errs or is slow | source, then target | with the source | edit the line back |
| \`switched\` | target | target, then source | with the source | edit the line back: nothing is lost |
| \`done\` | target | target | no | needs a copy the other way |`

const PATTERNS = `\`routes[].keys\`, the two sides of \`keys\` and \`channels\`, \`compare.always\` and \`compare.never\` are patterns.

| part | matches |
| --- | --- |
| \`{name}\` | one or more bytes, up to the text that follows it: its first occurrence after at least one byte. Text that ends the pattern is looked for at the end of the key |
| \`*\`, only at the end | the rest, also nothing |
| \`{{\`, \`}}\` | one brace: \`{{tag}}:cart\` matches the key \`{tag}:cart\` |
| anything else | itself |

- Keys are bytes, not text: nothing is decoded. A pattern stands for its UTF-8 bytes.
- Between two captures stands text, so that it is plain where the first ends.
- A key takes the route of its most specific pattern, whatever the order in the file: a pattern without captures before one with, then the one with more literal bytes, then the one with more of them at the beginning, then one that ends in text before one that ends in a capture before one that ends in \`*\`. Two patterns that match the same key and are equally specific are refused.
- One route has the pattern \`*\`, so that it is plain where all other keys go.
- In YAML, put quotes around patterns: \`"*"\`, \`"job:{rest}"\`.`

const RENAMES = `\`target.keys\` (and \`source.keys\`) say what a key is called in that store: \`"job:{rest}": "step:{rest}"\`. The left side is one of the route's \`keys\`, as it is written there.

- Every capture of the left side is used exactly once on the right; a \`*\` at the end of one side needs a \`*\` at the end of the other.
- A rename that cannot be undone for every key is refused, with an example: \`{a}:{b}\` -> \`{b}:{a}\` takes \`x:y:z\` to \`y:z:x\`, and nothing shows that \`y:z\` belongs together. The last capture may be anything, so the same one should be last on both sides; text that follows a capture should be the same on both sides.
- In one store, two different keys of the application must not get the same name, and a key's name at the source must not be its name at the target. The pattern \`*\` under its own names is left out of this check: rename into a part of the keyspace that the application does not use.
- Two stores count as one when they are the same database of the same server; \`localhost\`, \`127.0.0.1\` and \`::1\` are the same host.`

const VALUES = `| kind | written | |
| --- | --- | --- |
| size | \`64mb\` | units \`b\`, \`kb\`, \`mb\`, \`gb\`; powers of 1024 |
| time | \`250ms\`, \`2s\`, \`5m\` | units \`ms\`, \`s\`, \`m\`, \`h\` |
| percentage | \`1%\` | from 0% to 100%, also \`0.1%\` |
| secret | \`{ env: NAME }\`, \`{ file: PATH }\` | or the text itself; never shown again anywhere. A file is read again with each reload, so it is a regular one (no pipe, no device), of 4 MB at most, as those of certificates are |
| path | \`./data\` | relative to the working directory of the process |

\`0\` needs no unit.`

const ENVIRONMENT = `- \`\${VAR}\` in any text of the file is the variable's value (an error when it is not set); \`\${VAR:-default}\` is the default when it is unset or empty; \`$\${\` is a literal \`\${\`. Values are put in after YAML is read, so they cannot change its structure. Inside \`{ }\` and \`[ ]\` put quotes around them.
- \`UNDERSTUDY_PHASE_<ROUTE>\` overrides the phase of a route: its name in capitals, everything but letters and digits as \`_\` (\`everything-else\`: \`UNDERSTUDY_PHASE_EVERYTHING_ELSE\`). \`UNDERSTUDY_PHASE\` overrides the phases of all routes that have a target. While a phase is overridden, editing the file does not change it. An empty variable counts as unset.`

function table(schema: Schema): string {
  const { properties = {}, required = [] } = mapOf(schema)
  const rows = Object.entries(properties).map(([key, property]) => {
    const value = property as Schema
    const presence = required.includes(key) ? 'required' : defaultOf(value)
    return `| \`${key}\` | ${typeOf(value)} | ${presence} | ${value.description ?? ''} |`.replaceAll('  ', ' ')
  })
  return ['| key | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

/** `[]` stands for an entry of a list, or of a map with free names. */
function memberOf(schema: Schema, key: string): Schema {
  const entry = schema.items ?? schema.additionalProperties
  const member = key === '[]' ? entry : mapOf(schema).properties?.[key]
  if (member === undefined || typeof member === 'boolean') throw new Error(`the schema has no "${key}" here`)
  return member as Schema
}

/** The form of a value that is a map, where there are several. */
function mapOf(schema: Schema): Schema {
  return (schema.anyOf as Schema[] | undefined)?.find(({ type }) => type === 'object') ?? schema
}

function typeOf(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ')
  if (schema.anyOf !== undefined) {
    const forms = schema.anyOf as Schema[]
    const titled = forms.find(({ title }) => title !== undefined)
    if (titled !== undefined) return titled.title!.split(',')[0]!
    const whole = forms.find(({ type }) => type === 'integer')
    if (whole !== undefined) return typeOf(whole)
    if (forms.every(({ type, enum: values }) => type === 'boolean' || values !== undefined)) return '`true`, `false`'
    const names = forms.map((form) => (form.const === undefined ? typeOf(form) : `\`${form.const}\``))
    return [...new Set(names)].join(' or ')
  }
  if (schema.type === 'array')
    return `list of ${typeOf(schema.items as Schema)
      .replace(/^text/, 'texts')
      .replace(/^map/, 'maps')}`
  if (schema.type === 'object') return 'map'
  if (schema.type === 'integer') return `whole number from ${schema.minimum}`
  return schema.type === 'string' ? 'text' : String(schema.type)
}

function defaultOf(schema: Schema): string {
  const value = schema.default
  if (value === undefined) return ''
  if (typeof value !== 'object' || value === null) return `\`${value}\``
  if (Array.isArray(value)) return value.length === 0 ? '' : defaultText(value[0])
  return defaultText(value)
}

function defaultText(value: unknown): string {
  const url = typeof value === 'object' && value !== null && 'url' in value ? value.url : undefined
  return url === undefined ? '' : `\`${url}\``
}
