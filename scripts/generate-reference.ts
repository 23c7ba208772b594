/**
 * Writes docs/reference/{metrics,http,cli,errors,commands,writes,comparison}.md from the tables that the product runs on:
 *
 *     node scripts/generate-reference.ts
 *
 * A test fails when a file is not what this program writes.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Argument, Command, Option } from 'commander'
import { z } from 'zod'
import type { Endpoint } from '../src/admin/endpoint.ts'
import { ENDPOINTS } from '../src/admin/endpoints.ts'
import { HTTP_STATUS } from '../src/admin/http-errors.ts'
import { ERROR_CODES, type ErrorCode } from '../src/base/errors.ts'
import { exitCodeOf } from '../src/cli/exit-code.ts'
import { buildProgram } from '../src/cli/program.ts'
import { Terminal } from '../src/cli/terminal.ts'
import { describedCommands, effectSummary } from '../src/command/effect-summaries.ts'
import { effectRuleOf } from '../src/command/effect-table.ts'
import { HANDLING } from '../src/command/handling.ts'
import type { Handling } from '../src/command/spec.ts'
import { CommandTable } from '../src/command/table.ts'
import type { MetricSpec } from '../src/observability/metric-spec.ts'
import { METRICS } from '../src/observability/metrics-catalogue.ts'
import { comparisonPage } from './comparison-page.ts'

const FOLDER = fileURLToPath(new URL('../docs/reference/', import.meta.url))
const GENERATED = '<!-- Written by scripts/generate-reference.ts: change the tables in src/, not this file. -->'

/** Absolute path of each reference file -> what must stand in it. */
export function referenceFiles(): Record<string, string> {
  return {
    [`${FOLDER}metrics.md`]: metricsPage(),
    [`${FOLDER}http.md`]: httpPage(),
    [`${FOLDER}cli.md`]: cliPage(),
    [`${FOLDER}errors.md`]: errorsPage(),
    [`${FOLDER}commands.md`]: commandsPage(),
    [`${FOLDER}writes.md`]: writesPage(),
    [`${FOLDER}comparison.md`]: page('Comparison', ...comparisonPage(table)),
  }
}

function page(title: string, ...parts: string[]): string {
  return `${[`# ${title}`, GENERATED, ...parts].join('\n\n')}\n`
}

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

const code = (text: string) => `\`${text}\``

function metricsPage(): string {
  const labels = (spec: MetricSpec) =>
    Object.entries(spec.labels)
      .map(([name, values]) => `${code(name)}: ${typeof values === 'string' ? values : values.map(code).join(', ')}`)
      .join('; ')
  return page(
    'Metrics',
    'At `GET /metrics` of the admin address, in the Prometheus text format. No key, value or credential is ever part of a metric.',
    table(
      ['name', 'kind', 'labels', 'meaning'],
      METRICS.map((spec) => [code(spec.name), spec.kind, labels(spec), spec.help]),
    ),
    ...METRICS.flatMap((spec) =>
      spec.kind === 'histogram'
        ? [`Buckets of ${code(spec.name)}, in seconds: ${spec.bounds.map(String).join(', ')}.`]
        : [],
    ),
    'Besides these there are the metrics of the Node process that `prom-client` collects (`process_*`, `nodejs_*`).',
  )
}

function httpPage(): string {
  return page(
    'HTTP API',
    'Everything the admin address (`admin.url`, by default `http://127.0.0.1:9380`) answers. All of it is JSON unless said otherwise.',
    '## Access',
    [
      '- With `admin.token` set, everything that does not say "Needs no token" needs `Authorization: Bearer TOKEN`, or Basic authentication with the token as password (any user name), or the cookie of a login (`POST /api/v1/session`; with it a change also needs the header `x-understudy-page: 1`). Without: status 401.',
      '- A request that changes something must not come from a web page of another origin (403), and its body must be `application/json` (415).',
      '- On a loopback address only requests for a loopback host name (`127.0.0.1`, `localhost`, `[::1]`) are answered (403).',
    ].join('\n'),
    '## Errors',
    'Every answer that is not a success is `{"error": {"code", "message", "problems"?}}`; the [codes](errors.md) are stable. `problems` lists what is wrong, where it is more than one thing: of a configuration file `{line, column, path, message}`.',
    'While Understudy stops it goes on answering requests that only read; every other one is answered 503 with the code `STOPPING`, and so is one that was under way and cannot be finished because of it.',
    '## Endpoints',
    ...ENDPOINTS.map(endpointSection),
  )
}

function endpointSection({ method, path, open, summary, gives, query, body }: Endpoint): string {
  return [
    `### ${code(`${method} ${path}`)}`,
    `${summary}${open ? ' Needs no token.' : ''}`,
    ...(query === undefined ? [] : [fieldTable('query', query)]),
    ...(body === undefined ? [] : [fieldTable('body', body)]),
    `Gives ${gives}.`,
  ].join('\n\n')
}

function fieldTable(part: string, schema: z.ZodObject): string {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input' })
  const rows = Object.entries(properties).map(([name, field]) => {
    if (typeof field === 'boolean') return [code(name), '', '', '']
    const range = field.minimum === undefined ? '' : `, ${field.minimum} to ${field.maximum}`
    const type = field.enum?.map((value) => code(String(value))).join(', ') ?? `${field.type ?? 'text'}${range}`
    const presence = required.includes(name)
      ? 'required'
      : field.default === undefined
        ? ''
        : `default ${typeof field.default === 'object' ? code(JSON.stringify(field.default)) : field.default}`
    return [code(name), type, presence, field.description ?? '']
  })
  return table([part, 'type', '', 'meaning'], rows)
}

function cliPage(): string {
  const program = buildProgram(new Terminal(process.stdout, process.stderr), () => {})
  return page(
    'Command line',
    '`understudy COMMAND`, in a checkout `npx understudy COMMAND`.',
    '## Exit codes',
    table(
      ['code', 'meaning'],
      [
        ['0', 'done'],
        ['1', 'the answer is no: a gate is closed, a switch was called off, a file is invalid, a command is refused'],
        ['2', 'wrong usage, or a name that does not exist'],
        ['3', 'a running sidecar could not be reached, or something could not run'],
      ],
    ),
    'Errors are one line on standard error. Colours are used on a terminal only, and not with `NO_COLOR` set.',
    ...program.commands.map(commandSection),
  )
}

function commandSection(command: Command): string {
  const longNames = new Map(command.options.map((option) => [option.attributeName(), option.long ?? option.flags]))
  const usage = ['understudy', command.name(), ...command.registeredArguments.map(argumentName)].join(' ')
  const rows = [
    ...command.registeredArguments.map((argument) => [
      code(argumentName(argument)),
      argument.description + choices(argument.argChoices),
    ]),
    ...command.options.map((option) => [code(option.flags), optionMeaning(option, longNames)]),
  ]
  return [`## ${code(usage)}`, sentence(command.description()), table(['argument or option', 'meaning'], rows)].join(
    '\n\n',
  )
}

function argumentName(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`
  return argument.required ? `<${name}>` : `[${name}]`
}

function optionMeaning(option: Option, longNames: ReadonlyMap<string, string>): string {
  const preset = option.defaultValue === undefined ? [] : [`default ${code(String(option.defaultValue))}`]
  const variable = option.envVar === undefined ? [] : [`environment ${code(option.envVar)}`]
  const { conflictsWith } = option as Option & { readonly conflictsWith: readonly string[] }
  const others = conflictsWith.map((name) => code(longNames.get(name) ?? name)).join(', ')
  const extra = [...preset, ...variable, ...(others === '' ? [] : [`not with ${others}`])]
  return `${option.description}${choices(option.argChoices)}${extra.length > 0 ? ` (${extra.join(', ')})` : ''}`
}

function choices(values: readonly string[] | undefined): string {
  return values === undefined ? '' : `: ${values.map(code).join(', ')}`
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

function errorsPage(): string {
  const codes = Object.entries(ERROR_CODES) as [ErrorCode, string][]
  return page(
    'Error codes',
    'Each error has one of these codes, in logs (`code`) and in answers of the [HTTP API](http.md). Their names do not change. `ADMIN_REFUSED` also comes with the status that HTTP has for the reason: 401 (no login), 405, 413, 415.',
    table(
      ['code', 'meaning', 'HTTP status', 'exit code'],
      codes.map(([name, meaning]) => [code(name), meaning, String(HTTP_STATUS[name]), String(exitCodeOf(name))]),
    ),
  )
}

/** What the reference says of each way to handle a command, in the order in which they are shown. */
const HANDLINGS: Readonly<Record<Handling, string>> = {
  session: 'Answered by Understudy',
  transaction: 'Transactions',
  blocking: 'Blocking commands',
  subscribe: 'Subscriptions',
  takeover: 'A connection taken over',
  publish: 'Messages',
  keyspace: 'The whole keyspace',
  elements: 'Scans of one key',
  beside: 'Beside the shared connection',
  mended: 'Down the shared connection, and put right where it is about clients',
  replica: 'Replication',
  refuse: 'Refused',
  forward: 'Forwarded after all',
}

function commandsPage(): string {
  /** Commands of which the same is said, in one row. */
  const rows = (handling: Handling) => {
    const names = new Map<string, string[]>()
    for (const [name, row] of Object.entries(HANDLING)) {
      if (row.handling === handling) names.set(row.note, [...(names.get(row.note) ?? []), name])
    }
    return [...names].map(([note, of]) => [of.map(code).join(', '), note])
  }
  const section = (handling: Handling, title: string) => [
    `## ${title}`,
    table(['command', 'what becomes of it'], rows(handling)),
  ]
  const special = new Set(Object.keys(HANDLING))
  const forwarded = [...CommandTable.builtin().all()]
    .filter(({ name, handling }) => handling === 'forward' && !special.has(name) && !name.includes(' '))
    .map(({ name }) => name)
    .sort()
  return page(
    'Commands',
    'What becomes of each command. A command that is not named here, known or unknown to Understudy, is forwarded: it goes down the connection to the primary of its keys as it came, and the reply comes back byte for byte. A container’s row (`CLIENT`) holds for its subcommands unless one has a row of its own.',
    'On a listener with `connections: dedicated`, “the shared connection” is the client’s own.',
    ...Object.entries(HANDLINGS).flatMap(([handling, title]) => section(handling as Handling, title)),
    '## Forwarded',
    `Everything else, among it: ${forwarded.map(code).join(' ')}.`,
    'Inside MULTI the commands that Understudy answers take their place in the reply to EXEC; SUBSCRIBE, PSUBSCRIBE and the commands that end subscriptions are refused there.',
  )
}

function writesPage(): string {
  const writes = [...CommandTable.builtin().all()].filter(({ write, name }) => write && effectRuleOf(name) !== null)
  const names = new Set([...writes.map(({ name }) => name), ...describedCommands()])
  return page(
    'Write commands',
    'What the shadow gets for each write that has succeeded, under its own key names. An error changes nothing, except that of a script or of `MIGRATE`, which may have written before it failed: their keys are copied. `understudy explain` says it of one command under a configuration.',
    table(
      ['command', 'the shadow gets'],
      [...names].sort().map((name) => [code(name), effectSummary(name)]),
    ),
    'Any other command that the primary flags as a write (modules): its keys are copied.',
  )
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(referenceFiles())) writeFileSync(path, text)
}
