import { hashBytes } from '../../base/hash.ts'
import type { RouteState } from '../../routing/route.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtyKey } from '../dirty/dirty-key.ts'
import type { OverlapTable } from '../keys/overlap.ts'

/** A key has its writes held when its copies have come to nothing so often, and for `CopyLimits.patienceMs`. */
const TRIES = 8
/** From one hold of a key to the next, in times of what the last one took: its writers wait for a hundredth of the time at most. */
const REST = 100
/** Keys that are larger (MEMORY USAGE) are not held: they cannot be read in that time. */
const MAX_BYTES = 16 * 1024 * 1024
/** Keys of which it is known that copies come to nothing. */
const MAX_KNOWN = 10_000
const POLL_MS = 1
const SAID_AGAIN_MS = 600_000

const HELD =
  'a key is written faster than it can be copied: its writes wait for some milliseconds now and then, while it is copied'
const LARGE =
  'a large key is written all the time on several connections: it stays dirty until there is a moment without writes'

/** What a copy ends with whose key is too large for its hold. */
export const TOO_LARGE = 'TOOLARGE'

interface Vain {
  tries: number
  /** Not held before. */
  notBeforeMs: number
  /** It has been held. */
  rests: boolean
}

/**
 * Gives an end to copies that come to nothing, because their key is written on several connections all the time, or because it is so large that it never stays the same for the length of a copy.
 *
 *   copied in vain, again and again ─▶ due ─▶ its new writes wait at their sessions ─▶ those in flight are answered ─▶ it is read ─▶ the writes go on, behind the copy
 *
 * For `CopyLimits.holdMs` at most: a hold that takes longer is called off, and tried again after a rest. Reads of the key, and all other keys, go on as ever.
 */
export class KeyHolds {
  readonly #context: DataPathContext
  readonly #overlap: OverlapTable
  /** Sessions that wait look again. */
  readonly #resume: () => void
  readonly #vain = new Map<string, Vain>()
  readonly #saidMs = new Map<string, number>()

  constructor(context: DataPathContext, overlap: OverlapTable, resume: () => void) {
    this.#context = context
    this.#overlap = overlap
    this.#resume = resume
  }

  /** A copy of the key came to nothing because of what was written meanwhile. */
  inVain(entry: DirtyKey, nowMs: number): void {
    const name = nameOf(entry)
    const known = this.#vain.get(name)
    if (known !== undefined) {
      known.tries++
      return
    }
    if (this.#vain.size >= MAX_KNOWN) this.#prune(nowMs)
    if (this.#vain.size < MAX_KNOWN)
      this.#vain.set(name, { tries: 1, notBeforeMs: nowMs + this.#context.copies.limits.patienceMs, rests: false })
  }

  #prune(nowMs: number): void {
    for (const [name, { notBeforeMs }] of this.#vain) if (notBeforeMs < nowMs) this.#vain.delete(name)
  }

  /** It has been copied, or there is another reason why it cannot be. A rest that it has to take is kept. */
  forget(entry: DirtyKey, nowMs: number): void {
    if (this.#vain.size === 0) return
    const name = nameOf(entry)
    const known = this.#vain.get(name)
    if (known === undefined) return
    known.tries = 0
    if (!known.rests || nowMs >= known.notBeforeMs) this.#vain.delete(name)
  }

  /** The hold with which the key is to be copied next; null: none is needed. */
  dueOf(entry: DirtyKey, nowMs: number): KeyHold | null {
    if (this.#vain.size === 0) return null
    const vain = this.#vain.get(nameOf(entry))
    if (vain === undefined || vain.tries < TRIES || nowMs < vain.notBeforeMs) return null
    const { key } = entry
    const { route } = this.#context.routes.find(key, 0, key.length)
    const { state } = route
    const hash = hashBytes(key, 0, key.length)
    // A switch holds it already; and where there is no room for the copy, waiting for it is of no use.
    if (state.switching || state.heldKeys.has(hash) || state.backlogBytes > route.config.mirror.backlogBytes / 2)
      return null
    return new KeyHold(state, hash, this.#overlap, this.#context.copies.limits.holdMs, (heldMs, read) => {
      vain.tries = 0
      vain.rests = true
      vain.notBeforeMs = this.#context.clock.nowMs + Math.max(this.#context.copies.limits.patienceMs, REST * heldMs)
      state.keyHolds++
      if (!read) state.keyHoldsInVain++
      state.keyHeldMs += heldMs
      this.#resume()
      this.#say(route.name, 'info', HELD)
    })
  }

  /** It ended with TOO_LARGE: for a while only the other ways are tried. */
  tooLarge(entry: DirtyKey): void {
    const vain = this.#vain.get(nameOf(entry))
    if (vain !== undefined) vain.notBeforeMs = this.#context.clock.nowMs + SAID_AGAIN_MS
    this.#say(entry.route, 'warn', LARGE)
  }

  #say(route: string, level: 'info' | 'warn', msg: string): void {
    const { clock, log } = this.#context
    const saidMs = this.#saidMs.get(`${route} ${msg}`)
    if (saidMs !== undefined && clock.nowMs - saidMs < SAID_AGAIN_MS) return
    this.#saidMs.set(`${route} ${msg}`, clock.nowMs)
    log({ level, msg, fields: { route } })
  }
}

/** Nobody writes to one key from `begin` to `end`, or until its time is over. */
export class KeyHold {
  /** Of its key, at most. */
  readonly maxBytes = MAX_BYTES
  readonly #state: RouteState
  readonly #hash: number
  readonly #overlap: OverlapTable
  readonly #limitMs: number
  readonly #onEnd: (heldMs: number, read: boolean) => void
  #sinceMs = 0
  #deadline: NodeJS.Timeout | null = null

  constructor(
    state: RouteState,
    hash: number,
    overlap: OverlapTable,
    limitMs: number,
    onEnd: (heldMs: number, read: boolean) => void,
  ) {
    this.#limitMs = limitMs
    this.#state = state
    this.#hash = hash
    this.#overlap = overlap
    this.#onEnd = onEnd
  }

  /** `quiet` is called when no write of the key is in flight any more, or when it has taken too long. */
  begin(quiet: () => void): void {
    this.#sinceMs = performance.now()
    this.#state.holdKey(this.#hash)
    this.#deadline = setTimeout(() => this.end(false), this.#limitMs)
    const look = (): void => {
      if (this.#deadline === null || this.#overlap.laneOf(this.#hash) === 0) quiet()
      else setTimeout(look, POLL_MS)
    }
    look()
  }

  /** `read`: what is written from now on comes behind the copy. May be called at any time, also again. */
  end(read: boolean): void {
    if (this.#deadline === null) return
    clearTimeout(this.#deadline)
    this.#deadline = null
    this.#state.releaseKey(this.#hash)
    this.#onEnd(performance.now() - this.#sinceMs, read)
  }
}

function nameOf({ database, key }: DirtyKey): string {
  return `${database} ${key.toString('latin1')}`
}
