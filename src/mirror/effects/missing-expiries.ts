import { command, commands, copy, NOTHING } from '../../command/effects/building.ts'
import type { FollowUp } from '../../command/effects.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { SimpleReply } from '../../resp/reply.ts'
import { isShadowAltered, type Route } from '../../routing/route.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'
import type { KeyRef, KeyRefs } from '../keys/key-refs.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import { keepsExpiry } from './keeps-expiry.ts'
import { runsScript } from './script-effects.ts'

/** Keys that need not be asked about again; beyond so many all are forgotten. */
const MAX_KNOWN = 10_000
/** Longer names are asked about each time. */
const LONGEST_NAME = 256

export interface MissingExpiriesParts {
  readonly dirty: DirtySet
  readonly overlap: OverlapTable
  readonly refs: KeyRefs
  readonly ask: (followUp: FollowUp, database: number) => void
  readonly mark: (ref: KeyRef) => void
}

/**
 * A shadow that may lack keys (`RouteState.shadowComplete`) makes a new one of what is added to such a key: without the time to live that the primary's had before mirroring began. The primary's expires, perhaps before a backfill comes to it,
 * and the shadow's would stay for ever. So behind such a write the primary is asked when its key expires, and the shadow is told.
 *
 *   primary   ... HSET k b 2   PEXPIRETIME k   w ...
 *   shadow    ... HSET k b 2   PEXPIREAT k t   w' ...
 *
 * One that has expired by then, or that a script has deleted here and not there, is copied: that deletes it.
 *
 * As long as things are only added to both keys, what becomes of the time is mirrored, and it is not asked for again. What takes something away may leave nothing on the shadow, which has less, and the next write makes a new key there.
 */
export class MissingExpiries {
  readonly #context: DataPathContext
  readonly #parts: MissingExpiriesParts
  /** By database and key: both sides' times to live are the same, and nothing has been taken away since. */
  readonly #known = new Set<string>()
  /** The table, and how often every key had changed at once, that `#known` is of. */
  #routes: RouteTable | null = null
  #sweeps = 0

  constructor(context: DataPathContext, parts: MissingExpiriesParts) {
    this.#context = context
    this.#parts = parts
  }

  /** A write of the application, `bytes[start .. end)`, has gone to the shadow, or what it comes to. `route`: of its key, where it has one. */
  look(spec: CommandSpec, route: Route, database: number, bytes: Buffer, start: number, end: number): void {
    const { name } = spec
    if (route.state.shadowComplete && (namesOneKey(spec) || !this.#doAnyLack())) return
    const isScript = runsScript(spec)
    const adds = isScript || ADD.has(name)
    if (!adds && (this.#known.size === 0 || TAKE_NOTHING.has(name))) return
    if (name === 'SET' && !keepsExpiry(bytes, start, end, 3)) return
    const keys = this.#parts.refs.in(spec, database, bytes, start, end)
    // What is made of several keys is copied (`keysMadeOfOthers`).
    const areCopied = keys.length > 1 && (isScript || name === 'PFMERGE')
    const first = name === 'SMOVE' ? 1 : 0
    const asked = !adds || areCopied ? [] : keys.slice(first)
    if (!adds || isScript || first > 0) for (const ref of keys) this.#forget(ref, isScript)
    for (const ref of asked) this.#lookAt(spec, ref, isScript)
  }

  #doAnyLack(): boolean {
    for (const { shadow, state } of this.#context.routes.routes)
      if (shadow !== null && !state.shadowComplete) return true
    this.#known.clear()
    return false
  }

  /** Something has been taken away. What was copied as a whole loses the same on both sides, unless it is a script that takes. */
  #forget(ref: KeyRef, isScript: boolean): void {
    this.#known.delete(nameOf(ref))
    if (isScript) this.#known.delete(WHOLE + nameOf(ref))
  }

  #lookAt(spec: CommandSpec, ref: KeyRef, isScript: boolean): void {
    const { dirty, overlap, ask, mark } = this.#parts
    const { rule, database, key } = ref
    const { route } = rule
    if (route.shadow === null || route.state.shadowComplete) return
    // What the shadow has may be the last copy; a verify tells.
    if (dirty.toVerify.mayPrimaryLack(route.name) || dirty.has(route.name, database, key)) return
    const { copies, routes, clock } = this.#context
    if (this.#routes !== routes || this.#sweeps !== overlap.sweeps || this.#known.size >= MAX_KNOWN) {
      this.#known.clear()
      this.#routes = routes
      this.#sweeps = overlap.sweeps
    }
    const primary = copies.factsOf(route.primary.storeName)
    const isCopied = primary.hasFieldTimes && KEEP_FIELD_TIMES.has(spec.name)
    // A script may have taken something away, and a job does so past the mirror.
    const isRemembered = !isScript && key.length <= LONGEST_NAME && !isShadowAltered(route)
    const whole = WHOLE + nameOf(ref)
    if (isRemembered) {
      const name = isCopied ? whole : nameOf(ref)
      if (this.#known.has(name) || this.#known.has(whole)) return
      this.#known.add(name)
    }
    const copied = (): void => {
      if (isRemembered) this.#known.add(whole)
    }
    const tellsWhen = primary.hasExpireTime && !copies.refuses(route.primary.storeName, 'PEXPIRETIME', clock.nowMs)
    if (isCopied) return mark(ref)
    if (isScript && primary.hasFieldTimes) ask(unlessHash(key), database)
    ask(tellsWhen ? absoluteTime(key) : timeLeft(key, copied), database)
  }
}

function nameOf({ database, key }: KeyRef): string {
  return `${database} ${key.toString('latin1')}`
}

function namesOneKey({ keyFinder, firstKey, lastKey }: CommandSpec): boolean {
  return keyFinder === 'plain' && firstKey === lastKey
}

function absoluteTime(key: Buffer): FollowUp {
  return {
    keys: [key],
    read: command('PEXPIRETIME', key),
    effect: (at) =>
      at === FOREVER ? NOTHING : at === GONE ? copy(key) : commands(command('PEXPIREAT', key, String(at))),
  }
}

/** A script may have written to a field that keeps its own time. */
function unlessHash(key: Buffer): FollowUp {
  return {
    keys: [key],
    read: command('TYPE', key),
    effect: (type) => (type instanceof SimpleReply && type.text === 'hash' ? copy(key) : NOTHING),
  }
}

/** Of a server that does not know when, or does not say: the copy finds out as well as can be. */
function timeLeft(key: Buffer, copied: () => void): FollowUp {
  return {
    keys: [key],
    read: command('PTTL', key),
    effect: (left) => {
      if (left === FOREVER) return NOTHING
      if (left !== GONE) copied()
      return copy(key)
    },
  }
}

/** Ahead of the names of hashes that were copied. */
const WHOLE = 'whole '

const FOREVER = -1
const GONE = -2

/**
 * Commands, beside scripts, that leave their key the time to live that it has and make it where there is none, with an answer that may be the same. Of a list that was there before the new length tells; and nothing can be added to what
 * `EXPIRE` and its like find on one side alone.
 */
const ADD = new Set([
  'APPEND',
  'BITFIELD',
  'DECR',
  'DECRBY',
  'GEOADD',
  'HINCRBY',
  'HINCRBYFLOAT',
  'HMSET',
  'HSET',
  'HSETEX',
  'HSETNX',
  'INCR',
  'INCRBY',
  'INCRBYFLOAT',
  'MSETEX',
  'PFADD',
  'PFMERGE',
  'SADD',
  'SET',
  'SETBIT',
  'SETRANGE',
  'SMOVE',
  'VADD',
  'XADD',
  'XGROUP CREATE',
  'ZADD',
  'ZINCRBY',
])

/** After these a key that is on both sides still is, with the same time to live, or on neither. */
const TAKE_NOTHING = new Set([
  'DEL',
  'EXPIRE',
  'EXPIREAT',
  'LPUSH',
  'MSET',
  'PERSIST',
  'PEXPIRE',
  'PEXPIREAT',
  'PSETEX',
  'RPUSH',
  'SETEX',
  'UNLINK',
])

/** Of these a field keeps its own time, which is not asked for. */
const KEEP_FIELD_TIMES = new Set(['HINCRBY', 'HINCRBYFLOAT', 'HSETEX'])
