import type { Phase } from '../../src/config/config.ts'
import { parseConfig } from '../../src/config/file/load.ts'
import { KeyPattern } from '../../src/config/patterns/pattern.ts'
import { KeyRename } from '../../src/config/patterns/rename.ts'
import { RouteTable } from '../../src/routing/route-table.ts'
import { configOf, type RouteOptions } from '../support/data-path.ts'
import type { Random } from '../support/write-load.ts'

/** A random configuration that `check` accepts, and keys of an application for it. */
export interface Schema {
  readonly kind: SchemaKind
  readonly routes: (phase: Phase) => RouteOptions[]
  /** What may be gone through, from any to any. */
  readonly phases: readonly Phase[]
  readonly keys: readonly Buffer[]
  /** For what fails. */
  readonly shown: string
}

/**
 *   namespace   every key has a prefix, or some change in another way
 *   one server  some keys have two names on one server
 *   all         every key has two names on one server
 *   two         as `one server`, to another one; and the rest as well
 */
export const SCHEMA_KINDS = ['namespace', 'one server', 'all', 'two'] as const
export type SchemaKind = (typeof SCHEMA_KINDS)[number]

const MIGRATION: readonly Phase[] = ['mirror', 'shadow', 'read-target', 'switched']

/** Left and right sides; those that cannot stand beside each other `check` refuses. */
const RENAMES: readonly (readonly [string, string])[] = [
  ['job:{id}', 'step:{id}'],
  ['job:{id}:progress', 'step:{id}:progress'],
  ['jobs:pending', 'steps:pending'],
  ['worker:{id}:jobs', 'worker:{id}:steps'],
  ['cart:{user}:{item}', 'basket:{item}/{user}'],
  ['cart:{user}:{item}', 'basket:{user}:{item}:v2'],
  ['sess*', 'v2:sess*'],
  ['{app}:lock', 'lock/{app}'],
  ['{{{tag}}}:a', 'n:{{{tag}}}:a'],
  ['{{{tag}}}:{rest}', 'm:{{{tag}}}:{rest}'],
  ['u:{id}', 'user/{id}/profile'],
  ['[x]{a}', 'bracket\\{a}'],
  ['q?{n}', 'q*/{n}'],
  ['é:{a}', 'ü:{a}'],
  ['t:{a}:{b}:{c}', 'T:{c}:{a}:{b}'],
  ['t:{a}:{b}:{c}', 'T:{a}:{b}:{c}'],
  ['cnt:*', 'counter:*'],
  ['hot', 'hot:2'],
]

const VALUES = [
  '7',
  '42',
  'a',
  '*',
  '?',
  '[x]',
  '\\',
  '^-',
  'a:b',
  ':',
  '\x00\xff',
  '\r\n',
  '{t}',
  'é',
  'jobs',
  'lock',
  ' ',
]
const OTHERS = [
  'plain',
  'x:1',
  'x:2',
  'k:7',
  'k:42',
  'y:{u}:1',
  'empty:',
  'Z',
  'j*',
  'job',
  '\xfe\xff',
  'a\r\nb',
  '{t}:z',
  'understudy',
  'app1',
  'old',
]

export function randomSchema(random: Random, kind: SchemaKind): Schema {
  for (let i = 0; i < 1000; i++) {
    const schema = candidate(random, kind)
    if (schema !== null && schema.keys.length >= 14) return schema
  }
  throw new Error('no schema was accepted')
}

function candidate(random: Random, kind: SchemaKind): Schema | null {
  const chosen = new Map<string, string>()
  const count = kind === 'all' ? 0 : random.below(4) + (kind === 'namespace' ? 0 : 1)
  for (let i = 0; i < count; i++) chosen.set(...random.pick(RENAMES))
  const several = random.below(2) === 0
  const prefix = random.pick(['app1:*', 'a*', '[a]*', '\\*', 'new:*', '?*'])
  const renames = [...chosen]
  const routes = (phase: Phase): RouteOptions[] => {
    const compare = { sample: 1 }
    if (kind === 'namespace') {
      const source = { store: 'one', keys: { '*': prefix, ...Object.fromEntries(renames) } }
      return [{ name: 'all', keys: ['*', ...chosen.keys()], source }]
    }
    const two = kind === 'two' ? 'two' : 'one'
    if (kind === 'all')
      return [
        {
          name: 'all',
          source: { store: 'one', keys: { '*': 'old:*' } },
          target: { store: 'one', keys: { '*': prefix } },
          phase,
          compare,
        },
      ]
    const groups = several ? renames.map((rename) => [rename]) : [renames]
    return [
      ...groups.map((group, i) => ({
        name: `r${i}`,
        keys: group.map(([from]) => from),
        source: 'one',
        target: { store: two, keys: Object.fromEntries(group) },
        phase,
        compare,
      })),
      two === 'two' ? { name: 'rest', source: 'one', target: 'two', phase, compare } : { name: 'rest', source: 'one' },
    ]
  }
  if (!isAccepted(routes('mirror'))) return null
  const keys = keysFor(random, kind, renames, routes)
  return {
    kind,
    routes,
    phases: kind === 'namespace' ? ['passthrough'] : MIGRATION,
    keys,
    shown: `${kind} ${JSON.stringify(renames)} ${prefix} several=${several}`,
  }
}

function isAccepted(routes: readonly RouteOptions[]): boolean {
  const stores = { one: { url: 'redis://127.0.0.1:1' }, two: { url: 'redis://127.0.0.1:2' } }
  const file = {
    listen: [{ url: 'redis://127.0.0.1:3' }],
    stores,
    routes: routes.map(({ compare: _, ...route }) => ({ keys: ['*'], ...route })),
  }
  try {
    // A JSON text is a YAML text.
    parseConfig(JSON.stringify(file), { path: 'random.yaml', env: {} })
    return true
  } catch {
    return false
  }
}

function keysFor(
  random: Random,
  kind: SchemaKind,
  renames: readonly (readonly [string, string])[],
  routes: (phase: Phase) => RouteOptions[],
): Buffer[] {
  const keys = OTHERS.map((text) => Buffer.from(text, 'latin1'))
  for (const [from] of renames) {
    const pattern = KeyPattern.parse(from)
    for (let i = 0; i < 8; i++) {
      const parts = [pattern.literalPrefix]
      for (const { until } of pattern.wildcards)
        parts.push(Buffer.from(random.pick(VALUES), 'latin1'), until ?? Buffer.alloc(0))
      parts.push(pattern.literalSuffix)
      keys.push(Buffer.concat(parts))
    }
  }
  const tables = (kind === 'namespace' ? (['passthrough'] as const) : (['mirror', 'switched'] as const)).map(
    (phase) => {
      const config = configOf({ stores: { one: { port: 1 }, two: { port: 2 } }, routes: routes(phase) })
      return new RouteTable(config, 1, Object.keys(config.stores), new Map())
    },
  )
  const unique = [...new Map(keys.map((key) => [key.toString('latin1'), key])).values()]
  const images = renames.map(([from, to]) => KeyRename.between(KeyPattern.parse(from), KeyPattern.parse(to)))
  return unique.filter((key) => {
    // A name that copies have: the guide says that no client may use it.
    if (kind !== 'namespace' && images.some((rename) => rename.undo(key, 0, key.length) !== null)) return false
    return tables.every((table) => {
      const rule = table.find(key, 0, key.length)
      const name = rule.primary?.apply(key, 0, key.length) ?? key
      return table.viewOf(rule.route.primary.store).nameOf(name, 0, name.length)?.equals(key) === true
    })
  })
}
