import type { KnownScript } from '../../command/scripts/script-book.ts'
import { MINUS } from '../../resp/bytes.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import type { InFlight, Loss, ReplyOwner } from './in-flight.ts'
import type { Pipeline } from './pipeline.ts'

/**
 * Scripts that are called by SHA-1 are loaded ahead of the call where the server may not have them. What a connection has brought is there for as long as the connection lasts, unless the cache is flushed; what a new one
 * reaches may be another server, or the same without its cache.
 *
 *   EVALSHA a ─▶ SCRIPT LOAD a, EVALSHA a      the connection has not brought it since it was opened
 *   EVALSHA a ─▶ EVALSHA a
 *   (lost, opened again; of a cluster: a node)
 *   EVALSHA a ─▶ SCRIPT LOAD a, EVALSHA a
 *
 * A store that does not let the connection's user load is not asked again for a minute.
 */
export class ScriptLoads {
  /** When one that a client waits for has ended. */
  readonly #told: () => void
  #loadings = new WeakMap<KnownScript, WeakMap<Pipeline, Loading>>()
  /** Coarse clock: until then the user of the connection is not tried. */
  readonly #refusedUntil = new WeakMap<Pipeline, number>()

  constructor(told: () => void = () => {}) {
    this.#told = told
  }

  /** Puts SCRIPT LOAD ahead of what is pushed next, unless the server has the script for certain. Gives the loading while it is under way. `route`: of the call, for the pipeline's owner. */
  ahead(pipeline: Pipeline, script: KnownScript, route: unknown = null): Loading | null {
    let at = this.#loadings.get(script)
    if (at === undefined) this.#loadings.set(script, (at = new WeakMap()))
    const known = at.get(pipeline)
    // What is pushed before the connection is up leaves when it is.
    const arrival = pipeline.arrivals + (pipeline.state === 'up' ? 0 : 1)
    if (known?.arrival === arrival) return known.hasEnded ? null : known
    const { nowMs } = pipeline.options.clock
    if ((this.#refusedUntil.get(pipeline) ?? 0) > nowMs) return null
    const loading = new Loading(script, arrival, (reply) => {
      // One that was lost with its connection is out of date when there is another; one of a cluster was loaded where nodes could be spoken to.
      const isOver = reply === null ? pipeline.arrivals !== arrival : NOT_NOW.test(reply)
      if (isOver && at.get(pipeline) === loading) at.delete(pipeline)
      if (reply !== null && REFUSED.test(reply)) this.#refusedUntil.set(pipeline, nowMs + REFUSED_MS)
      if (loading.isAwaited) this.#told()
    })
    at.set(pipeline, loading)
    const { bytes } = loading
    pipeline.push(loading, bytes, 0, bytes.length).route = route
    return loading
  }

  /** A server did not know it. */
  forget(script: KnownScript): void {
    this.#loadings.delete(script)
  }

  /** Servers may have lost all of them. */
  forgetAll(): void {
    this.#loadings = new WeakMap()
  }
}

/** A SCRIPT LOAD on its way. What comes of it shows when the script is called. */
export class Loading implements ReplyOwner {
  readonly #script: KnownScript
  /** `Pipeline.arrivals` when it is there. */
  readonly arrival: number
  readonly #ended: (reply: string | null) => void
  hasEnded = false
  /** Somebody wants to know when it has ended. */
  isAwaited = false

  /** `ended`: told the beginning of an error reply, an empty text for any other, or null: there is none, or not in time. */
  constructor(script: KnownScript, arrival: number, ended: (reply: string | null) => void) {
    this.#script = script
    this.arrival = arrival
    this.#ended = ended
  }

  /** The command. */
  get bytes(): Buffer {
    return encodeOwn(['SCRIPT', 'LOAD', this.#script.source])
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    this.#end(buf[start] === MINUS ? buf.toString('latin1', start, Math.min(end, start + 64)) : '')
  }

  lost(_slot: InFlight, { refused, text }: Loss): void {
    this.#end(refused ? `-${text}` : null)
  }

  timedOut(): void {
    this.#end(null)
  }

  /** Nobody waits for the last node of a cluster. */
  detached(): void {}

  #end(reply: string | null): void {
    if (this.hasEnded) return
    this.hasEnded = true
    this.#ended(reply)
  }
}

/** The server will let us later, or a part of a cluster has not taken it. */
const NOT_NOW = /^-(BUSY|LOADING|MASTERDOWN|CLUSTERDOWN|OOM|READONLY|NOREPLICAS|MISCONF) /
const REFUSED = /^-(NOPERM |ERR unknown )/
const REFUSED_MS = 60_000
