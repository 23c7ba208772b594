import { hashBytes } from '../../base/hash.ts'
import { findKeys, KeyPositions } from '../../command/keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { isServerWide } from '../../routing/server-wide.ts'
import type { InFlight } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { NOBODY } from '../copy/sweeps.ts'
import { applicationBytes } from '../effects/settled-command.ts'
import { addTickets, NOT_COUNTED, type OverlapTable } from './overlap.ts'

/**
 * Tickets of mirrored writes for all of their keys (`OverlapTable`): taken when a write leaves on a connection's lane, taken back when its reply has come, or never will. By then they tell whether
 * another connection wrote to one of the keys meanwhile.
 */
export class WriteTickets {
  readonly #overlap: OverlapTable
  /** Parser for bytes that are whole and were parsed before. */
  readonly #parser = new CommandParser()
  readonly #positions = new KeyPositions()

  constructor(overlap: OverlapTable) {
    this.#overlap = overlap
  }

  /** Of the planned command's keys. `left` or `leave` takes it back. */
  enter(view: CommandView, positions: KeyPositions, lane: number): number {
    let ticket = 0
    for (let i = 0; i < positions.count; i++) {
      const arg = positions.index[i]!
      ticket = addTickets(ticket, this.#overlap.enter(hashBytes(view.buf, view.start[arg]!, view.end[arg]!), lane))
    }
    return ticket
  }

  /** The same for hashes that are known. */
  enterAll(hashes: readonly number[], lane: number): number {
    let ticket = 0
    for (const hash of hashes) ticket = addTickets(ticket, this.#overlap.enter(hash, lane))
    return ticket
  }

  /** A number that stays the same for as long as no other lane writes to a key with this hash; -1: one does. */
  look(hash: number, lane: number): number {
    return this.#overlap.look(hash, lane)
  }

  /** A flush or a swap is on its way. */
  get sweeping(): boolean {
    return this.#overlap.sweeping
  }

  enterOne(hash: number, lane: number): number {
    return this.#overlap.enter(hash, lane)
  }

  /** The same for a write that has just been pushed on a pipeline. `left` takes it back. */
  enterPushed(hash: number, pipeline: Pipeline): number {
    return pipeline.listsAll ? this.#overlap.enterShared(pipeline, hash) : this.#overlap.enter(hash, pipeline.lane)
  }

  /** A write without keys leaves. `left` (or `leaveServerWide`) has to follow. `lane`: of the shared pipeline that it leaves on, all of whose writes are of one database; else NOBODY. */
  enterServerWide(spec: CommandSpec, lane: number): void {
    if (isServerWide(spec)) this.#overlap.beginSweep(spec.name === 'SWAPDB' ? NOBODY : lane)
  }

  /** Others that are like it may share its place in the ring, and have its ticket. */
  mayBeShared({ ticket }: InFlight): boolean {
    return this.#overlap.isUncounted(ticket)
  }

  /** As `left`, of some of those that share a place. The others keep the ticket. */
  someLeft({ ticket }: InFlight): boolean {
    return !this.#overlap.isUncounted(ticket)
  }

  /** True: another connection wrote to one of its keys meanwhile. */
  left(command: InFlight, lane: number): boolean {
    const { spec, keyHash, ticket } = command
    // Whoever looks through the ring is to know that it has been taken back, and so is this if a defect has it called once more.
    command.ticket = NOT_COUNTED
    if (keyHash !== 0) return this.#overlap.left(keyHash, lane, ticket)
    if (spec === null) return false
    if (ticket <= NOT_COUNTED) return this.#overlap.left(0, lane, ticket)
    const { bytes, start, end } = applicationBytes(command)
    this.#parser.parse(bytes, start, end)
    findKeys(spec, this.#parser, this.#positions)
    if (this.#positions.count === 0) this.leaveServerWide(spec)
    return this.leave(this.#parser, this.#positions, lane, ticket)
  }

  leave(view: CommandView, positions: KeyPositions, lane: number, ticket: number): boolean {
    let now = 0
    for (let i = 0; i < positions.count; i++) {
      const arg = positions.index[i]!
      now += this.#overlap.leave(hashBytes(view.buf, view.start[arg]!, view.end[arg]!), lane)
    }
    return now !== ticket
  }

  leaveAll(hashes: readonly number[], lane: number, ticket: number): boolean {
    let now = 0
    for (const hash of hashes) now += this.#overlap.leave(hash, lane)
    return now !== ticket
  }

  /** Of a write whose key is copied whatever happened meanwhile. */
  leaveOne(hash: number, lane: number): void {
    this.#overlap.leave(hash, lane)
  }

  leaveServerWide(spec: CommandSpec): void {
    if (isServerWide(spec)) this.#overlap.endSweep()
  }
}
