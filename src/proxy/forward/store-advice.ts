import type { Route } from '../../routing/route.ts'
import type { DataPath } from '../data-path.ts'

/** What an operator should know when a store answers clients in this way. The client gets the store's own words in any case. */
const ADVICE: Readonly<Record<string, string>> = {
  MOVED: 'the store is a node of a cluster and has sent a client elsewhere; write redis+cluster:// in its URL',
  ASK: 'the store is a node of a cluster that is moving slots; write redis+cluster:// in its URL',
  CLUSTERDOWN: 'the store is a node of a cluster that does not serve every slot; see CLUSTER INFO on its nodes',
  READONLY:
    'the store is a replica and refuses writes; name the address of the primary in its URL (behind Sentinels it is looked for)',
  MASTERDOWN: 'the store is a replica that has lost its primary and serves nothing; name the address of the primary',
  LOADING: 'the store is loading its data and refuses commands until it has',
  OOM: 'the store has reached its maxmemory and refuses writes; give it more, or an eviction policy',
  BUSY: 'the store is busy with a script or function and refuses commands; SCRIPT KILL or FUNCTION KILL ends it',
}

/** By the first letter, so that ordinary errors (ERR, WRONGTYPE, NOSCRIPT) cost a look at one byte. */
const LETTERS = new Set(Object.keys(ADVICE).map((code) => code.charCodeAt(0)))

/** Says once in a while, and per store and kind of error, what an error reply of the primary means. */
export class StoreAdvice {
  readonly #path: DataPath
  readonly #saidMs = new Map<string, number>()

  constructor(path: DataPath) {
    this.#path = path
  }

  /** `start`: of the error's frame. */
  look(route: Route, buf: Buffer, start: number, end: number): void {
    if (!LETTERS.has(buf[start + 1]!)) return
    const code = /^[A-Z]+/.exec(buf.toString('latin1', start + 1, Math.min(end, start + 16)))?.[0] ?? ''
    const advice = ADVICE[code]
    if (advice === undefined) return
    const store = route.primary.storeName
    if (code === 'READONLY' || code === 'MASTERDOWN') this.#path.lookFor(store)
    const { nowMs } = this.#path.clock
    const saidMs = this.#saidMs.get(`${store} ${code}`)
    if (saidMs !== undefined && nowMs - saidMs < AGAIN_MS) return
    this.#saidMs.set(`${store} ${code}`, nowMs)
    this.#path.log({ level: 'warn', msg: advice, fields: { store, code } })
  }
}

const AGAIN_MS = 600_000
