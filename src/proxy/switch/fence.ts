import type { JobWrites } from '../../mirror/keys/job-writes.ts'
import type { RouteState } from '../../routing/route.ts'
import type { BlockedCommand } from '../blocking/blocked-command.ts'
import type { DataPath } from '../data-path.ts'
import type { Pin } from '../session/pin.ts'

/** What a switch is called off for that has held commands for long enough. `quiet`: it is forced; commands in flight can go neither way, so they are given up, and which store lacks what is the caller's to say. */
export type Insistence = 'equal' | 'quiet'

export type FenceResult = { readonly ok: true } | { readonly ok: false; readonly reason: string }

/**
 * Holds the commands of routes while their roles change (`3-semantics.md`, "Switching").
 *
 *   hold     new commands of the routes wait, each session at its place
 *   drain    replies of what is in flight arrive; blocked commands are called back whose place changes; where the authority moves, the primary tells what scripts have written, the mirror's backlog empties, dirty keys are copied, and what a job is writing
 *   move     subscribers are subscribed at the new primary before anybody can publish there
 *   release  they go on, under whatever table is then in force
 *
 * Between hold and release no write of the routes is in flight anywhere (invariant 6). A drain that takes too long is called off: `release` without a new table, and everything goes
 * on as before. One that is forced gives up what is in flight instead.
 */
export class Fence {
  readonly #path: DataPath
  readonly #jobWrites: JobWrites
  #held: RouteState[] = []
  /** Names of the routes, of either table, that are to be held. */
  #named: ReadonlySet<string> = new Set()
  /** Of them, once a new table is in force. */
  #changed: ReadonlySet<string> = new Set()
  /** Names of routes that have given keys to others, or got some. */
  #rerouted: ReadonlySet<string> = new Set()
  #recalled: BlockedCommand[] = []
  /** By held route, from when nothing was in flight any more: of what scripts had written then (`UndeclaredKeys.endedUntil`). */
  readonly #ended = new Map<RouteState, number>()
  heldSinceMs = 0

  constructor(path: DataPath, jobWrites: JobWrites) {
    this.#path = path
    this.#jobWrites = jobWrites
  }

  /** `recall`: of these routes, those whose blocked commands are called back. */
  hold(routes: ReadonlySet<string>, recall: ReadonlySet<string>): void {
    this.heldSinceMs = performance.now()
    this.#named = routes
    this.#holdNamed()
    this.#recalled = [...this.#path.blocked].filter((command) => command.touches(recall))
    for (const command of this.#recalled) command.recall()
  }

  /**
   * Resolves when the held routes are quiet, and their primaries have told what scripts have written: a store that is replaced tells nothing any more. Those that `needsEqual` names also with an empty backlog and without a dirty key. For all of it it is waited for `holdTimeoutMs` from when the hold began, whatever is insisted on.
   */
  async drain(needsEqual: ReadonlySet<string>, holdTimeoutMs: number, insistence: Insistence): Promise<FenceResult> {
    for (;;) {
      const reason = this.#notQuiet() ?? this.#notEqual(needsEqual, insistence)
      if (reason === null) return { ok: true }
      if (performance.now() - this.heldSinceMs > holdTimeoutMs) {
        const left = insistence === 'quiet' ? this.#afterGivingUp() : reason
        return left === null ? { ok: true } : { ok: false, reason: left }
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  /** What is still to be waited for; null: nothing. */
  stillBusy(needsEqual: ReadonlySet<string>): string | null {
    return this.#notQuiet() ?? this.#notEqual(needsEqual, 'equal')
  }

  /** The primary of the route, which is held and drained, has not told everything yet that scripts have written there. */
  isToldLate(state: RouteState): boolean {
    const route = this.#path.routes.byName(state.name)
    const ended = this.#ended.get(state)
    return route !== undefined && ended !== undefined && !this.#path.mirror.undeclared.isTold(route, ended)
  }

  /**
   * A new table is in force. Routes that have come with it are held as the others until their subscribers have arrived. `rerouted`: names of routes that have given keys to others, or got some.
   */
  entered(rerouted: readonly string[]): void {
    this.#holdNamed()
    this.#changed = this.#named
    this.#rerouted = new Set(rerouted)
  }

  /** To be called after `entered`. Resolves when all subscribers have arrived, or some take too long. */
  async moveSubscribers(): Promise<void> {
    if (this.#held.length === 0) return
    this.#movePins('subscriber')
    const deadline = performance.now() + MOVE_MS
    while (this.#path.movingSubscribers.size > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  release(): void {
    for (const state of this.#held) state.releaseAll()
    this.#movePins('subscriber')
    this.#movePins('transaction')
    this.#movePins('replica')
    if (this.#rerouted.size > 0) {
      for (const session of this.#path.sessions)
        for (let pin = session.pin; pin !== null; pin = pin.outer) pin.rerouted?.(this.#rerouted)
    }
    for (const session of this.#path.sessions) session.own?.moved()
    this.#held = []
    for (const command of this.#recalled) command.moved()
    for (const command of [...this.#path.blocked]) {
      if (!this.#recalled.includes(command)) command.reroute()
      // Not called back, and yet its store has been replaced (other settings in the configuration).
      if (command.waitsElsewhere) command.recall()
      if (!command.waitsAtStore || command.waitsElsewhere) command.moved()
    }
    this.#recalled = []
    this.#path.resumeWaiting()
  }

  #movePins(kind: Pin['kind']): void {
    if (this.#changed.size === 0) return
    for (const session of this.#path.sessions) {
      for (let pin = session.pin; pin !== null; pin = pin.outer) if (pin.kind === kind) pin.moved(this.#changed)
    }
  }

  #holdNamed(): void {
    for (const { name, state } of this.#path.routes.routes) {
      if (!this.#named.has(name) || this.#held.includes(state)) continue
      state.holdAll()
      this.#held.push(state)
    }
  }

  #notQuiet(): string | null {
    const inFlight = this.#inFlight()
    if (inFlight !== null) return inFlight
    for (const state of this.#held)
      if (this.isToldLate(state))
        return `the primary of route '${state.name}' has not told yet what scripts have written to keys that they do not declare`
    return null
  }

  #inFlight(): string | null {
    for (const state of this.#held)
      if (state.inFlight > 0)
        return `${state.inFlight} commands of route '${state.name}' are still in flight (its primary has not answered them; where it hangs, --force --reason TEXT gives them up when the hold is over)`
    const waiting = this.#recalled.filter((command) => command.waitsAtStore).length
    if (waiting > 0) return `${waiting} blocked commands have not come back yet`
    this.#noteEnded()
    return null
  }

  /** Only once: other routes' scripts at the same primary go on, and those are not waited for. */
  #noteEnded(): void {
    const { routes, mirror } = this.#path
    for (const state of this.#held) {
      const route = this.#ended.has(state) ? undefined : routes.byName(state.name)
      if (route !== undefined) this.#ended.set(state, mirror.undeclared.endedUntil(route))
    }
  }

  /** What is in flight at the primaries is told as lost, and ended there. Gives why the held routes are not quiet all the same; null: they are. */
  #afterGivingUp(): string | null {
    const names = new Set(this.#held.filter(({ inFlight }) => inFlight > 0).map(({ name }) => name))
    const { routes } = this.#path.routes
    const stores = new Set(routes.filter(({ name }) => names.has(name)).map((route) => this.#path.primaryOf(route)))
    for (const store of stores) store.giveUpClients(FORCED)
    for (const command of this.#recalled) command.giveUp(FORCED)
    return this.#inFlight()
  }

  #notEqual(needsEqual: ReadonlySet<string>, insistence: Insistence): string | null {
    for (const state of this.#held) {
      if (!needsEqual.has(state.name)) continue
      if (this.#jobWrites.areUnderWay(state.name))
        return `an import or restore writes keys of route '${state.name}', which takes too long to wait for: let it end, or cancel it`
      if (state.backlogCommands > 0)
        return `${state.backlogCommands} writes of route '${state.name}' still wait for the shadow`
      const dirty = this.#path.dirty.count(state.name)
      if (dirty > 0 && (insistence === 'equal' || this.#canBeCopied(state.name)))
        return `${dirty} dirty keys of route '${state.name}' are not copied yet`
    }
    return null
  }

  /** Or nothing comes of waiting: a primary that is gone is what one forces a switch for. */
  #canBeCopied(name: string): boolean {
    const { routes } = this.#path
    const route = routes.byName(name)
    return route !== undefined && this.#path.primaryOf(route).state().state === 'up'
  }
}

const FORCED = 'a forced switch does not wait for it any longer'
const POLL_MS = 1
const MOVE_MS = 250
