import { compareClassOf } from './compare-class.ts'
import { effectRuleOf } from './effect-table.ts'
import { handlingOf } from './handling.ts'
import { KEY_FINDERS } from './key-specs.ts'
import { quotesKeys, replyKeysOf } from './reply-keys.ts'
import type { CommandSpec, KeyFinder, KeySpec } from './spec.ts'

/** What a list of commands (a server's, or the built-in one) says of one of them. */
export interface CommandFacts {
  /** Upper case; a subcommand's name is both words. */
  readonly name: string
  readonly arity: number
  readonly flags: ReadonlySet<string>
  readonly firstKey: number
  readonly lastKey: number
  readonly keyStep: number
  /** null: first/last/step say it all. */
  readonly keySpecs: readonly KeySpec[] | null
  readonly subcommands: readonly CommandFacts[] | null
  /** A subcommand that the server would have listed. */
  readonly absent?: boolean
}

/** Flagged as reads and replicated by the server as writes: `PFCOUNT` keeps the count that it has found in the value. */
const WRITES_THOUGH_READONLY: ReadonlySet<string> = new Set(['PFCOUNT'])

/** Joins what a list says with what our own tables say of the name. */
export function makeSpec(facts: CommandFacts): CommandSpec {
  const { name, flags } = facts
  const effect = effectRuleOf(name)
  const flaggedWrite = flags.has('write')
  const readonly = flags.has('readonly') && !WRITES_THOUGH_READONLY.has(name)
  const keyFinder: KeyFinder = KEY_FINDERS[name] ?? (facts.keySpecs === null ? 'plain' : 'specs')
  return Object.freeze({
    name,
    arity: facts.arity,
    write: flaggedWrite || (!readonly && effect !== null && effect.kind !== 'never'),
    readonly,
    admin: flags.has('admin'),
    handling: handlingOf(name),
    absent: facts.absent ?? false,
    firstKey: facts.firstKey,
    lastKey: facts.lastKey,
    keyStep: Math.max(1, facts.keyStep),
    keySpecs: facts.keySpecs,
    keyFinder,
    crossesDatabases: name === 'MOVE' || name === 'COPY',
    replyKeys: replyKeysOf(name),
    quotesKeys: quotesKeys(name),
    compare: readonly ? compareClassOf(name) : null,
    subcommands:
      facts.subcommands === null
        ? null
        : new Map(facts.subcommands.map((sub) => [sub.name.slice(name.length + 1), makeSpec(sub)])),
    effect,
  })
}
