import type { CommandView } from '../resp/command-view.ts'
import type { Reply } from '../resp/reply.ts'
import { builtinFacts } from './builtin.ts'
import { KEY_FINDERS } from './key-specs.ts'
import { type CommandFacts, makeSpec } from './make-spec.ts'
import { NameTable } from './name-table.ts'
import { serverFacts } from './server-facts.ts'
import type { CommandSpec } from './spec.ts'

/** A command and, for a container, the way to its subcommands by bytes. */
interface Entry {
  readonly spec: CommandSpec
  readonly subcommands: NameTable<CommandSpec> | null
}

/** Every command that is known, by name. Immutable. */
export class CommandTable {
  readonly #facts: ReadonlyMap<string, CommandFacts>
  readonly #byName: ReadonlyMap<string, CommandSpec>
  readonly #byBytes: NameTable<Entry>

  private constructor(facts: ReadonlyMap<string, CommandFacts>) {
    const specs = [...facts.values()].map(makeSpec)
    this.#facts = facts
    this.#byName = new Map(
      specs.flatMap((spec) => [spec, ...(spec.subcommands?.values() ?? [])]).map((s) => [s.name, s]),
    )
    this.#byBytes = new NameTable(specs.map((spec) => [spec.name, entryOf(spec)] as const))
  }

  /** What is known before any server was asked: the newest Redis' commands. */
  static builtin(): CommandTable {
    return new CommandTable(new Map(builtinFacts().map((facts) => [facts.name, facts])))
  }

  /**
   * What the server says of its commands (the decoded reply to `COMMAND`), on top of `base`. Where it says less than `base` (key specs and
   * subcommands before 7.0, the key of PFDEBUG), and of commands it does not list, `base` holds: a managed service hides some that it understands.
   */
  static fromServer(commandReply: Reply, base: CommandTable): CommandTable {
    const facts = new Map(base.#facts)
    for (const told of serverFacts(commandReply)) facts.set(told.name, merged(told, facts.get(told.name)))
    return new CommandTable(facts)
  }

  /**
   * The command's spec by the bytes of its name, whatever their case; of a container, its subcommand's, or its own when it has no such
   * subcommand. undefined: unknown. Allocates nothing.
   */
  lookup(view: CommandView): CommandSpec | undefined {
    if (view.argc === 0) return undefined
    const entry = this.#byBytes.find(view.buf, view.start[0]!, view.end[0]!)
    if (entry === undefined) return undefined
    if (entry.subcommands === null || view.argc === 1) return entry.spec
    return entry.subcommands.find(view.buf, view.start[1]!, view.end[1]!) ?? entry.spec
  }

  /** By upper-case name, a subcommand as `XGROUP CREATE`. */
  byName(name: string): CommandSpec | undefined {
    return this.#byName.get(name)
  }

  /** Every spec, containers before their subcommands. */
  all(): IterableIterator<CommandSpec> {
    return this.#byName.values()
  }
}

function entryOf(spec: CommandSpec): Entry {
  return { spec, subcommands: spec.subcommands === null ? null : new NameTable(spec.subcommands) }
}

function merged(told: CommandFacts, known: CommandFacts | undefined): CommandFacts {
  if (known === undefined) return told
  const lists = told.subcommands !== null
  const subcommands = new Map(
    (known.subcommands ?? []).map((sub) => [sub.name, lists ? { ...sub, absent: true } : sub]),
  )
  for (const sub of told.subcommands ?? []) subcommands.set(sub.name, merged(sub, subcommands.get(sub.name)))
  const { firstKey, lastKey, keyStep } = told.firstKey === 0 ? known : told
  return {
    ...told,
    firstKey,
    lastKey,
    keyStep,
    // No specs at all, or one that even the server cannot describe: ours, if we have them.
    keySpecs: KEY_FINDERS[told.name] === undefined && isDescribed(told) ? told.keySpecs : known.keySpecs,
    absent: false,
    subcommands: subcommands.size === 0 ? null : [...subcommands.values()],
  }
}

function isDescribed(facts: CommandFacts): boolean {
  if (facts.keySpecs === null) return !facts.flags.has('movablekeys')
  return (
    facts.keySpecs.length > 0 &&
    facts.keySpecs.every((spec) => spec.begin.type !== 'unknown' && spec.find.type !== 'unknown')
  )
}
