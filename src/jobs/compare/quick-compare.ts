import { bulkStart, integerAt } from '../stores/frames.ts'
import { memoryOf } from '../stores/key-sizes.ts'
import type { StoreConnection } from '../stores/store-connection.ts'

export interface QuickOptions {
  readonly ttlToleranceMs: number
  /** The servers know PEXPIRETIME (Redis 7.0); else PTTL has to do. */
  readonly absoluteTimes: boolean
}

/** Payloads of so many bytes are held at once. */
const MAX_HELD_BYTES = 4 * 1024 * 1024
/** A larger key is not dumped whole: it takes its store's time, and this process' memory. */
const BIG_BYTES = 1024 * 1024
/** DUMP ends with two bytes of RDB version and eight of checksum. */
const FOOTER_BYTES = 10

const MISSING = -2

/**
 * The cheap look: whether DUMP gives the same bytes on both sides (but for the version of the format), and PEXPIRETIME the same time. Gives the indexes of keys of which that is not so, or that are too big to ask: these
 * may still be equal (a set in another order, another server's encoding, a write that came between the two questions), and need an exact look.
 *
 * Keys are counted per page and not one by one: a page costs five batches, whatever it holds.
 */
export async function quickCompare(
  primary: StoreConnection,
  shadow: StoreConnection,
  primaryNames: readonly Buffer[],
  shadowNames: readonly Buffer[],
  options: QuickOptions,
): Promise<number[]> {
  const sizes = await memoryOf(primary, primaryNames)
  const suspects: number[] = []
  let group: number[] = []
  let held = 0
  const groups: number[][] = []
  for (let i = 0; i < sizes.length; i++) {
    const size = sizes[i]!
    if (size > BIG_BYTES) {
      suspects.push(i)
      continue
    }
    if (held + size > MAX_HELD_BYTES) {
      groups.push(group)
      group = []
      held = 0
    }
    group.push(i)
    held += size
  }
  groups.push(group)
  for (const indexes of groups) {
    if (indexes.length > 0) await compareGroup(primary, shadow, primaryNames, shadowNames, indexes, options, suspects)
  }
  return suspects
}

async function compareGroup(
  primary: StoreConnection,
  shadow: StoreConnection,
  primaryNames: readonly Buffer[],
  shadowNames: readonly Buffer[],
  indexes: readonly number[],
  options: QuickOptions,
  suspects: number[],
): Promise<void> {
  const commands = [['DUMP'], [options.absoluteTimes ? 'PEXPIRETIME' : 'PTTL']]
  const count = indexes.length
  const there = payloads.pop() ?? new Payloads()
  there.begin(count)
  const expiries = new Float64Array(count)
  const named = (names: readonly Buffer[]): readonly Buffer[] =>
    count === names.length ? names : indexes.map((i) => names[i]!)
  await primary.forEach(commands, named(primaryNames), (n, buf, start, end) => {
    if (n % 2 === 0) there.add(n >> 1, buf, start, end)
    else expiries[n >> 1] = integerAt(buf, start) ?? Number.NaN
  })
  const differs = new Uint8Array(count)
  await shadow.forEach(commands, named(shadowNames), (n, buf, start, end) => {
    const at = n >> 1
    if (n % 2 === 0) {
      if (!there.equals(at, buf, start, end)) differs[at] = 1
    } else if (!near(expiries[at]!, integerAt(buf, start) ?? Number.NaN, options.ttlToleranceMs)) differs[at] = 1
  })
  for (let i = 0; i < count; i++) if (differs[i] === 1) suspects.push(indexes[i]!)
  payloads.push(there)
}

function near(one: number, other: number, toleranceMs: number): boolean {
  if (one === other) return true
  return one > 0 && other > 0 && Math.abs(one - other) <= toleranceMs
}

/** Those that no group uses now: as many as there were groups at once. */
const payloads: Payloads[] = []

/** The payloads of one group, one behind the other in one piece of memory. */
class Payloads {
  #bytes = Buffer.allocUnsafe(64 * 1024)
  #used = 0
  #starts = new Float64Array(0)
  #ends = new Float64Array(0)

  begin(count: number): void {
    this.#used = 0
    if (this.#starts.length >= count) return
    this.#starts = new Float64Array(count)
    this.#ends = new Float64Array(count)
  }

  /** Adds the payload of DUMP's reply `buf[start .. end)`; nil and errors have none. */
  add(index: number, buf: Buffer, start: number, end: number): void {
    const from = bulkStart(buf, start)
    const to = from === -1 ? MISSING : end - 2 - FOOTER_BYTES
    const length = from === -1 ? 0 : Math.max(0, to - from)
    if (this.#bytes.length < this.#used + length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#used + length))
      larger.set(this.#bytes.subarray(0, this.#used))
      this.#bytes = larger
    }
    buf.copy(this.#bytes, this.#used, Math.max(from, 0), Math.max(from, 0) + length)
    this.#starts[index] = from === -1 ? MISSING : this.#used
    this.#used += length
    this.#ends[index] = this.#used
  }

  /** Whether another DUMP's reply has the same payload; two that have none are the same only when both are nil. */
  equals(index: number, buf: Buffer, start: number, end: number): boolean {
    const from = bulkStart(buf, start)
    const own = this.#starts[index]!
    if (from === -1 || own === MISSING) return from === -1 && own === MISSING && buf[start] === DOLLAR_SIGN
    const ownEnd = this.#ends[index]!
    const length = end - 2 - FOOTER_BYTES - from
    return length === ownEnd - own && buf.compare(this.#bytes, own, ownEnd, from, from + length) === 0
  }
}

const DOLLAR_SIGN = 36
