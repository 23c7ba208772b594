import { hashBytes } from '../../base/hash.ts'
import { blocks } from '../../command/blocking.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { isSampled } from '../../routing/route.ts'
import { isServerWide } from '../../routing/server-wide.ts'
import type { DataPath } from '../data-path.ts'
import type { Queued } from '../transaction/exec-reply.ts'

/** Whether the planned command (`path.plan`) is a read that is compared. */
export function isSampledRead(path: DataPath, spec: CommandSpec, view: CommandView): boolean {
  const { positions, route, keyHash } = path.plan
  if (!route.samples || !spec.readonly || positions.count === 0) return false
  // Inside MULTI it does not wait at the primary; on the shadow it would, and everything behind it.
  if (blocks(spec, view)) return false
  // What a pattern of SORT stands for may be called otherwise on the shadow, in more than one way.
  if (positions.patternCount > 0 && path.routes.namesDiffer) return false
  const first = positions.index[0]!
  return isSampled(route, keyHash, view.buf, view.start[first]!, view.end[first]!) && path.isComparable(spec)
}

interface QueuedRead {
  /** Place in the transaction. */
  readonly index: number
  readonly hashes: readonly number[]
  ticket: number
}

/**
 * The sampled reads of one transaction. The effects of a transaction reach the shadow as one unit, and a read is asked there behind it: so it is compared
 * where nothing behind it in the transaction wrote to its keys.
 *
 *   MULTI  SET a  GET a  SET b  GET b  EXEC       both reads
 *   MULTI  GET a  SET a  EXEC                     none: behind the unit, `a` is what SET made it
 */
export class TransactionReads {
  #reads: QueuedRead[] = []
  /** Hashes of keys that are written behind a read, and the place of the last command that does so. */
  readonly #written = new Map<number, number>()

  /** The planned command (`path.plan`) takes place `index`. */
  queued(path: DataPath, spec: CommandSpec | null, view: CommandView, index: number): void {
    if (spec === null) return
    if (spec.write) this.#writes(path, spec, view, index)
    else if (isSampledRead(path, spec, view)) this.#reads.push({ index, hashes: hashesOf(path, view), ticket: -1 })
  }

  /** EXEC leaves, on `lane`. */
  left(path: DataPath, lane: number): void {
    this.#reads = this.#reads.filter(({ index, hashes }) =>
      hashes.every((hash) => (this.#written.get(hash) ?? -1) < index),
    )
    for (const read of this.#reads) read.ticket = path.comparer.askedFor(read.hashes, lane)
  }

  /** EXEC has answered, and its effects are on their way: its elements are at `offsets`. */
  settled(path: DataPath, queue: readonly Queued[], buf: Buffer, offsets: Int32Array, lane: number): void {
    for (const { index, ticket } of this.#reads) {
      const { spec, route, database, bytes } = queue[index]!
      const { [index]: from, [index + 1]: to } = offsets
      path.comparer.sampled(spec!, route, database, bytes, 0, bytes.length, buf, from!, to!, lane, ticket, NOT_TIMED)
    }
  }

  #writes(path: DataPath, spec: CommandSpec, view: CommandView, index: number): void {
    if (this.#reads.length === 0) return
    if (isServerWide(spec)) this.#reads = []
    else for (const hash of hashesOf(path, view)) this.#written.set(hash, index)
  }
}

function hashesOf(path: DataPath, view: CommandView): number[] {
  const { positions } = path.plan
  const hashes: number[] = []
  for (let i = 0; i < positions.count; i++) {
    const arg = positions.index[i]!
    hashes.push(hashBytes(view.buf, view.start[arg]!, view.end[arg]!))
  }
  return hashes
}

/** EXEC's time is the whole transaction's. */
const NOT_TIMED = -1
