import type { Endpoint } from '../../config/config.ts'
import { encodeOwn } from '../../resp/own-words.ts'

/** Whose connections they are, as stores are told. */
export interface Run {
  /** Each connection's name at its store. */
  readonly name: string
  /** What earlier runs of the same state directory called theirs. */
  readonly former: ReadonlySet<string>
}

/** What a store calls one of its connections, as in CLIENT INFO. A restarted server begins its ids anew: only both together mean one connection. */
export interface StoreSideName {
  readonly id: string
  /** The other end as the store sees it: an address translation on the way may have changed it. */
  readonly addr: string
}

/** Says something on a connection that is up, ahead of what comes next on it. `answered`: its reply as text; null: there will be none. */
export type Say = (bytes: Buffer, answered: (reply: string | null) => void) => void

/**
 * Our connections to the servers of one store, as these see them: which of them has to be ended, because what the network, or a server that hangs, still holds of it would be executed behind what came later.
 *
 *   given up, with something in flight ─┬─▶ told at once on every shared connection that is up ──┬─▶ answered: it has ended, for all
 *                                       └─▶ told in the greeting of each that comes up later ────┘
 *   left by a run that ended without a word ─▶ the first greeting asks for the list, and ends those whose name is a former run's
 */
export class OwnConnections {
  readonly #run: () => Run
  readonly #refused: (text: string) => void
  /** By address. */
  readonly #servers = new Map<string, ServerConnections>()
  #saidRefused = false

  /** `refused`: the store does not let us end connections, in its words; told once. */
  constructor(run: () => Run, refused: (text: string) => void) {
    this.#run = run
    this.#refused = refused
  }

  at(endpoint: Endpoint): ServerConnections {
    const address = addressOf(endpoint)
    let server = this.#servers.get(address)
    if (server === undefined) {
      server = new ServerConnections(this.#run(), (text) => {
        if (this.#saidRefused) return
        this.#saidRefused = true
        this.#refused(text)
      })
      this.#servers.set(address, server)
    }
    return server
  }

  /** Others take the place of `former`: what those have given up ends before these say anything. `endpoint`: where these are now, which may be another address of the same server; null: where those were. */
  succeed(former: OwnConnections, endpoint: Endpoint | null): void {
    for (const [address, server] of former.#servers) {
      const known = this.#servers.get(address)
      if (known === undefined) this.#servers.set(address, server)
      else server.handOn(known)
    }
    if (endpoint === null || former.#servers.has(addressOf(endpoint))) return
    for (const server of former.#servers.values()) server.handOn(this.at(endpoint))
  }
}

function addressOf(endpoint: Endpoint): string {
  return endpoint.kind === 'unix' ? endpoint.path : `${endpoint.host}:${endpoint.port}`
}

/** Those to one server. */
export class ServerConnections {
  readonly run: Run
  readonly #onRefused: (text: string) => void
  /** To be ended, by id. */
  readonly #givenUp = new Map<string, StoreSideName>()
  /** Shared connections that are up. */
  readonly #speakers = new Set<Say>()
  #leftoversEnded: boolean
  /** It has answered a CLIENT KILL. */
  #known = false

  constructor(run: Run, onRefused: (text: string) => void) {
    this.run = run
    this.#onRefused = onRefused
    this.#leftoversEnded = run.former.size === 0
  }

  /** What a new connection has to have ended before it says anything else. One that serves a single client says it of a few only: of many, the shared ones do. */
  toEnd(dedicated: boolean): readonly StoreSideName[] {
    return dedicated && this.#givenUp.size > FEW ? [] : [...this.#givenUp.values()]
  }

  /** Nobody has looked yet for what former runs left. */
  get asksForList(): boolean {
    return !this.#leftoversEnded
  }

  /** Whether it lets us end connections is not known yet. */
  get unknown(): boolean {
    return !this.#known
  }

  /** In a reply to CLIENT LIST: those of former runs. */
  leftovers(list: string): StoreSideName[] {
    return list.split('\n').flatMap((line) => {
      const name = / name=(\S+)/.exec(line)?.[1]
      const side = name !== undefined && this.run.former.has(name) ? sideName(line) : null
      return side === null ? [] : [side]
    })
  }

  /** Those that there were have been ended. */
  leftoversEnded(): void {
    this.#leftoversEnded = true
  }

  /** An error reply to CLIENT LIST. */
  listRefused(reply: string): void {
    if (NOT_NOW.test(reply)) return
    this.#leftoversEnded = true
    this.#onRefused(reply.slice(1).trim())
  }

  speaks(say: Say): void {
    this.#speakers.add(say)
  }

  silent(say: Say): void {
    this.#speakers.delete(say)
  }

  /** What was in flight on it is told as lost. */
  givenUp(side: StoreSideName): void {
    if (this.#givenUp.size >= MOST) this.#givenUp.delete(this.#givenUp.keys().next().value!)
    this.#givenUp.set(side.id, side)
    for (const say of this.#speakers) this.#tell(say, side)
  }

  /** It may be the server that these are connected to. */
  handOn(to: ServerConnections): void {
    if (to === this) return
    for (const side of this.#givenUp.values()) to.givenUp(side)
  }

  /** The reply to a kill of it; null side: of nobody, to learn whether we may. */
  answered(side: StoreSideName | null, reply: string): void {
    this.#known = true
    if (!reply.startsWith('-')) {
      if (side !== null) this.#ended(side)
    } else if (NOT_NOW.test(reply)) {
      if (side !== null) setTimeout(() => this.#again(side), AGAIN_MS).unref()
    } else {
      if (side !== null) this.#ended(side)
      this.#onRefused(reply.slice(1).trim())
    }
  }

  #again(side: StoreSideName): void {
    if (this.#givenUp.get(side.id) !== side) return
    for (const say of this.#speakers) this.#tell(say, side)
  }

  #tell(say: Say, side: StoreSideName): void {
    say(killCommand(side), (reply) => {
      if (reply !== null) this.answered(side, reply)
    })
  }

  #ended(side: StoreSideName): void {
    if (this.#givenUp.get(side.id)?.addr === side.addr) this.#givenUp.delete(side.id)
  }
}

/** In a line of CLIENT LIST, or a reply to CLIENT INFO of either protocol; null: an error, or none is told. */
export function sideName(text: string): StoreSideName | null {
  const found = /\bid=(\d+) addr=(\S+)/.exec(text)
  return found === null ? null : { id: found[1]!, addr: found[2]! }
}

/** Null: of a connection that there never is. */
export function killCommand(side: StoreSideName | null): Buffer {
  return encodeOwn(['CLIENT', 'KILL', 'ID', side?.id ?? NO_ID, ...(side === null ? [] : ['ADDR', side.addr])])
}

const NO_ID = '9223372036854775807'
/** The server will let us later. */
const NOT_NOW = /^-(BUSY|LOADING|MASTERDOWN) /
const AGAIN_MS = 50
const FEW = 32
/** To be ended at one server: as many as there can be connections of single clients. The oldest are forgotten. */
const MOST = 4_096
