import type { CommandSpec } from '../../command/spec.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { planCommand, renameForPrimary } from '../../routing/plan.ts'
import type { Route, RouteState } from '../../routing/route.ts'
import type { DataPath } from '../data-path.ts'

/** The routes that the keys of one blocking command belong to: as they were when it was last sent, until it follows a switch (`renew`). */
export class BlockedRoutes {
  readonly #path: DataPath
  readonly #spec: CommandSpec
  /** The application's. */
  readonly #frame: Buffer
  #route: Route
  /** The routes that its other keys belong to. */
  #others: readonly RouteState[]

  constructor(path: DataPath, spec: CommandSpec, frame: Buffer, route: Route, others: readonly RouteState[]) {
    this.#path = path
    this.#spec = spec
    this.#frame = frame
    this.#route = route
    this.#others = others
  }

  /** Where the command is sent. */
  get main(): Route {
    return this.#route
  }

  /** Of its other keys. */
  get others(): readonly RouteState[] {
    return this.#others
  }

  /** What it writes is mirrored. */
  get areMirrored(): boolean {
    return this.#spec.write && (this.#route.shadow !== null || this.#others.length > 0)
  }

  /** A switch of one of them is under way. */
  get areHeld(): boolean {
    return this.#route.state.switching || this.#others.some((state) => state.switching)
  }

  /** One of its keys belongs to one of these routes. */
  touch(routes: ReadonlySet<string>): boolean {
    return routes.has(this.#route.name) || this.#others.some(({ name }) => routes.has(name))
  }

  countInFlight(change: 1 | -1): void {
    this.#route.state.inFlight += change
    for (const state of this.#others) state.inFlight += change
  }

  /** The route of its keys in the table in force: they may have gone to another one. `path.plan` says the rest. */
  now(): Route {
    this.renamed(this.#frame)
    return this.#path.plan.route
  }

  renew(): void {
    this.#route = this.now()
    this.#others = this.#path.plan.others ?? []
  }

  /** The command's frame, or the same with another timeout, as it is called at the primary in force. `path.plan` says whether it may be sent. */
  renamed(frame: Buffer): Buffer {
    const path = this.#path
    parser.parse(frame, 0, frame.length)
    planCommand(path.routes, this.#spec, parser, path.plan)
    return path.plan.renames ? renameForPrimary(path.routes, parser, path.plan) : frame
  }
}

const parser = new CommandParser()
