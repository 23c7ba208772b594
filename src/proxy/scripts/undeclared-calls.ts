import { analyseLibrary } from '../../command/scripts/library-analysis.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { runsScript } from '../../mirror/effects/script-effects.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { planCommand } from '../../routing/plan.ts'
import type { Route } from '../../routing/route.ts'
import { changesFunctions } from '../../routing/server-wide.ts'
import type { Session } from '../session/session.ts'
import type { Queued } from '../transaction/exec-reply.ts'
import { possibleDatabases } from '../transaction/own-answers.ts'

/**
 * The scripts and functions of one transaction that may write to keys which they do not declare. What they are, and for whom they are to be told, counts at EXEC: since they were queued another table may have come
 * into force, and another client may have replaced a library.
 */
export class UndeclaredCalls {
  readonly #session: Session
  readonly #commands: readonly Queued[]
  /** There are scripts or functions among the commands. */
  #anyCalled = false
  /** As EXEC has left with them: their routes, and whether all keys that they declare are that route's. */
  #left: readonly { readonly route: Route; readonly keysAreOfOne: boolean }[] = []
  /** One of them calls what the transaction itself may load, and which may write what no server tells. */
  #untold = false

  constructor(session: Session, commands: readonly Queued[]) {
    this.#session = session
    this.#commands = commands
  }

  /** A command is queued. */
  queued(spec: CommandSpec | null): void {
    if (spec?.write && runsScript(spec)) this.#anyCalled = true
  }

  /** EXEC has to wait for a moment: the primary is being asked to tell what they write, or what a function does. */
  get areToBeTold(): boolean {
    const { undeclared } = this.#session.path.mirror
    return this.#any((spec, view, route, changed) =>
      changed && spec.name === 'FCALL' ? !undeclared.isReady(route) : undeclared.keepWaiting(spec, view, route),
    )
  }

  /** EXEC is about to be pushed. `ended` follows. */
  leave(): void {
    if (!this.#anyCalled) return
    const { mirror, intents, plan } = this.#session.path
    const left: { route: Route; keysAreOfOne: boolean }[] = []
    this.#any((spec, view, route, changed) => {
      if (!mirror.undeclared.areWrittenBy(spec, view, route, changed)) return false
      left.push({ route, keysAreOfOne: plan.positions.count > 0 && plan.others === null })
      if (changed && spec.name === 'FCALL') this.#untold ||= this.#mayLoadUntold()
      return false
    })
    this.#left = left
    if (left.length === 0) return
    const databases = possibleDatabases(this.#commands, this.#session.database)
    for (const { route } of left) mirror.undeclared.leave(route, databases)
    intents?.noteUnnamedKeys()
  }

  /** EXEC has been answered, or never will be. */
  ended(): void {
    const { undeclared } = this.#session.path.mirror
    for (const { route, keysAreOfOne } of this.#left) undeclared.ended(route, true, keysAreOfOne)
  }

  /** EXEC has executed them, or may have. */
  executed(): void {
    if (this.#untold) this.#session.path.mirror.undeclared.doubt()
  }

  /** Whether it is so of one of the scripts and functions, planned anew. `changed`: functions may be others when it is executed. */
  #any(isSo: (spec: CommandSpec, view: CommandView, route: Route, changed: boolean) => boolean): boolean {
    if (!this.#anyCalled) return false
    const { routes, plan } = this.#session.path
    let changed = false
    for (const { spec, bytes } of this.#commands) {
      if (changesFunctions(spec)) changed = true
      if (!spec?.write || !runsScript(spec)) continue
      parser.parse(bytes, 0, bytes.length)
      planCommand(routes, spec, parser, plan)
      if (isSo(spec, parser, plan.route, changed)) return true
    }
    return false
  }

  /** A library that the transaction loads calls, or may call, what a server does not tell. What FUNCTION RESTORE brings is packed. */
  #mayLoadUntold(): boolean {
    const { commands } = this.#session.path
    return this.#commands.some(({ spec, bytes }) => {
      if (spec?.name === 'FUNCTION RESTORE') return true
      if (spec?.name !== 'FUNCTION LOAD') return false
      parser.parse(bytes, 0, bytes.length)
      const last = parser.argc - 1
      const { others } = analyseLibrary(bytes.toString('latin1', parser.start[last], parser.end[last]), commands)
      return others.writes && !others.declaresKeys && (others.untold || others.computesCommands)
    })
  }
}

const parser = new CommandParser()
