import published from '@ioredis/commands/built/commands.json' with { type: 'json' }
import { KEY_FINDERS, MOVABLE_KEY_SPECS } from './key-specs.ts'
import type { CommandFacts } from './make-spec.ts'

/** One command as `@ioredis/commands` lists it. */
interface Published {
  readonly arity: number
  readonly flags: readonly string[]
  readonly keyStart: number
  readonly keyStop: number
  readonly step: number
  readonly subcommands?: Readonly<Record<string, Published>>
}

/** Channels of sharded pub/sub: listed like keys, because they decide the slot, but they are none. */
const CHANNELS: readonly string[] = ['SPUBLISH', 'SSUBSCRIBE', 'SUNSUBSCRIBE']

/** Subcommands that no list has: those that name keys, and one that is not sent on like the others. */
const UNLISTED: readonly CommandFacts[] = [
  debug('DEBUG OBJECT', 3, 2),
  debug('DEBUG SDSLEN', 3, 2),
  debug('DEBUG LISTPACK', 3, 2),
  debug('DEBUG DIGEST-VALUE', -2, -1),
  debug('DEBUG PROTOCOL', -2, 0),
]

/** `lastKey` 0: it has none. */
function debug(name: string, arity: number, lastKey: number): CommandFacts {
  const [firstKey, keyStep] = lastKey === 0 ? [0, 0] : [2, 1]
  return { name, arity, flags: new Set(['admin']), firstKey, lastKey, keyStep, keySpecs: null, subcommands: null }
}

/** Every command known without asking a server: containers with their subcommands. */
export function builtinFacts(): CommandFacts[] {
  const list = published as unknown as Readonly<Record<string, Published>>
  return Object.entries(list).map(([name, entry]) => factsOf(name.toUpperCase(), entry))
}

function factsOf(name: string, entry: Published): CommandFacts {
  const listed = Object.entries(entry.subcommands ?? {}).map(([sub, leaf]) =>
    factsOf(`${name} ${sub.toUpperCase()}`, leaf),
  )
  const subcommands = [...listed, ...UNLISTED.filter((facts) => facts.name.startsWith(`${name} `))]
  return {
    name,
    arity: entry.arity,
    flags: new Set(entry.flags),
    firstKey: CHANNELS.includes(name) ? 0 : entry.keyStart,
    lastKey: entry.keyStop,
    keyStep: entry.step,
    keySpecs: KEY_FINDERS[name] === undefined ? (MOVABLE_KEY_SPECS[name] ?? null) : null,
    subcommands: subcommands.length === 0 ? null : subcommands,
  }
}
