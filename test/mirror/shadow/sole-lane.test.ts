import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CoarseClock } from '../../../src/base/clock.ts'
import { hashBytes } from '../../../src/base/hash.ts'
import { CommandTable } from '../../../src/command/table.ts'
import { NOBODY } from '../../../src/mirror/copy/sweeps.ts'
import { OverlapTable, type SharedLane } from '../../../src/mirror/keys/overlap.ts'
import { WriteTickets } from '../../../src/mirror/keys/write-tickets.ts'
import { CommandParser } from '../../../src/resp/command-parser.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import type { InFlight, ReplyOwner } from '../../../src/upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../../src/upstream/pipeline/pipeline.ts'
import { SendQueue } from '../../../src/upstream/pipeline/send-queue.ts'

describe('a sole lane', () => {
  const OWNER: ReplyOwner = { settle: () => {}, lost: () => {}, timedOut: () => {} }
  const parser = new CommandParser()
  const SET = bytesOf(0)
  parser.parse(SET, 0, SET.length)
  const spec = CommandTable.builtin().lookup(parser)!

  function bytesOf(key: number): Buffer {
    return encodeCommand(['SET', `key${key}`, 'x'])
  }
  const hashOf = (key: number): number => hashBytes(Buffer.from(`key${key}`), 0, 4)

  /** What a shared connection has in flight: writes are pushed, and answered in their order. */
  class Shared implements SharedLane {
    readonly queue = new SendQueue(new CoarseClock(), false, () => {})
    readonly ring = this.queue.ring
    readonly listsAll: boolean = true
    readonly lane: number
    #seq = 0
    /** Places whose replies are being told. */
    telling = 0
    #newest: InFlight | null = null

    constructor(lane: number) {
      this.lane = lane
    }

    separate(): void {
      this.queue.separate(this.telling)
    }

    push(key: number, tickets: WriteTickets, shares: boolean): void {
      const bytes = bytesOf(key)
      const seq = this.#seq++
      const newest = this.#newest
      if (newest !== null && shares && tickets.mayBeShared(newest)) {
        if (this.queue.join(newest, OWNER, seq, bytes, 0, bytes.length)) {
          newest.keyHash = 0
          return
        }
      }
      const slot = this.queue.append(OWNER, bytes, 0, bytes.length)
      Object.assign(slot, { seq, spec, lane: this.lane, keyHash: hashOf(key) })
      slot.ticket = tickets.enterPushed(slot.keyHash, this as unknown as Pipeline)
      this.#newest = slot
    }

    /** The oldest place is answered; `meanwhile`: before it is free. Gives the numbers of its writes, and whether they have met another lane's. */
    answer(tickets: WriteTickets, meanwhile?: () => void): { from: number; count: number; contested: boolean } {
      const slot = this.ring.peek()!
      const { seq, count } = slot
      const contested = tickets.left(slot, this.lane)
      if (slot === this.#newest) this.#newest = null
      this.telling = 1
      meanwhile?.()
      this.telling = 0
      if (slot.isShared) this.ring.answer(slot, count)
      this.queue.release(slot)
      return { from: seq, count, contested }
    }
  }

  const moment = (...lanes: number[]) =>
    fc.record({
      lane: fc.constantFrom(...lanes),
      key: fc.nat(3),
      what: fc.constantFrom('write', 'write', 'write', 'reply', 'reply', 'read', 'seen'),
      shares: fc.boolean(),
    })
  /** Of two shared connections and two others; of one alone most of the time. */
  const moments = fc
    .array(
      fc.oneof(
        { weight: 3, arbitrary: fc.array(moment(1), { minLength: 5, maxLength: 20, size: 'max' }) },
        { weight: 1, arbitrary: fc.array(moment(2), { minLength: 5, maxLength: 20, size: 'max' }) },
        { weight: 2, arbitrary: fc.array(moment(1, 2, 3, 4), { maxLength: 6, size: 'max' }) },
      ),
      { maxLength: 8, size: 'max' },
    )
    .map((stretches) => stretches.flat())

  test('shows by the number of writes that a key was written, counted or not', () => {
    const clock = { nowMs: 0 }
    const table = new OverlapTable(clock, 1 << 10, 2, 10)
    const tickets = new WriteTickets(table)
    const shared = new Shared(1)
    const write = (key: number): void => {
      shared.push(key, tickets, false)
      shared.answer(tickets)
    }
    const becomesSole = (): void => {
      clock.nowMs += 1_000
      for (let i = 0; i < 4; i++) write(0)
      shared.push(0, tickets, false)
      expect(tickets.mayBeShared(shared.ring.peek()!)).toBe(true)
      shared.answer(tickets)
    }
    becomesSole()
    const first = table.writes(hashOf(1))
    expect(table.writes(hashOf(1))).toBe(first)
    write(2)
    expect(table.writes(hashOf(1))).toBe(first)
    write(1)
    const second = table.writes(hashOf(1))
    expect(second).not.toBe(first)
    // Between two looks it is the sole one again, and nothing that it writes is counted.
    becomesSole()
    write(1)
    expect(table.writes(hashOf(1))).not.toBe(second)
    // What is in flight at a look has left before it.
    const third = table.writes(hashOf(1))
    shared.push(1, tickets, false)
    const fourth = table.writes(hashOf(1))
    expect(fourth).not.toBe(third)
    shared.answer(tickets)
    expect(table.writes(hashOf(1))).toBe(fourth)
    table.beginSweep(1)
    expect(table.writes(hashOf(1))).not.toBe(fourth)
  })

  test('is told of everybody that it meets, and nobody else is, as if each of its writes were counted', () => {
    let uncounted = 0
    let sharedPlaces = 0
    let met = 0
    fc.assert(
      fc.property(moments, (list) => {
        // The one has sole lanes now and then, the other never: what they say of writes has to be the same.
        const clock = { nowMs: 0 }
        const table = new OverlapTable(clock, 1 << 10, 2)
        const plain = new OverlapTable(clock, 1 << 10)
        const tickets = new WriteTickets(table)
        const shared = [new Shared(1), new Shared(2)]
        interface Write {
          readonly lane: number
          readonly key: number
          readonly ticket: number
          readonly from: number
          to: number
        }
        const writes: Write[] = []
        const expected: Record<number, Write[]> = { 1: [], 2: [], 3: [], 4: [] }
        const own: Record<number, { key: number; ticket: number }[]> = { 3: [], 4: [] }
        const looks: { lane: number; key: number; ticket: number; from: number }[] = []
        let now = 0
        const next = [0, 0]
        const replied = (lane: number): boolean => {
          const owed = expected[lane]!
          if (lane > 2) {
            const mine = own[lane]!.shift()
            if (mine === undefined) return false
            const other = owed.shift()!
            other.to = now
            const contested = table.leave(hashOf(mine.key), lane) !== mine.ticket
            expect(contested).toBe(plain.leave(hashOf(other.key), lane) !== other.ticket)
            return true
          }
          const of = shared[lane - 1]!
          if (of.ring.length === 0) return false
          const { ticket } = of.ring.peek()!
          uncounted += Number(table.isUncounted(ticket))
          // Somebody who is told of the reply may look at another lane.
          const { from, count, contested } = of.answer(tickets, () => now % 4 === 0 && table.look(0, 9))
          expect(from).toBe(next[lane - 1])
          next[lane - 1]! += count
          if (count > 1) sharedPlaces++
          for (const write of owed.splice(0, count)) {
            write.to = now
            const really = plain.leave(hashOf(write.key), lane) !== write.ticket
            met += Number(really)
            expect(contested).toBe(really)
          }
          return true
        }
        for (const { lane, key, what, shares } of list) {
          now++
          clock.nowMs = now * 400
          const hash = hashOf(key)
          if (what === 'write') {
            const write = { lane, key, ticket: plain.enter(hash, lane), from: now, to: Number.POSITIVE_INFINITY }
            writes.push(write)
            expected[lane]!.push(write)
            if (lane > 2) own[lane]!.push({ key, ticket: table.enter(hash, lane) })
            else shared[lane - 1]!.push(key, tickets, shares)
          } else if (what === 'reply') replied(lane)
          else if (what === 'read') looks.push({ lane, key, ticket: table.look(hash, lane), from: now })
          else {
            const look = looks.shift()
            if (look === undefined) continue
            const disturbed = writes.some(
              (write) => write.lane !== look.lane && write.key === look.key && write.to > look.from,
            )
            if (disturbed) expect(look.ticket).not.toBe(table.traffic(hashOf(look.key), look.lane))
          }
        }
        for (const lane of [1, 2, 3, 4]) while (replied(lane)) {}
        for (const key of [0, 1, 2, 3]) expect(table.laneOf(hashOf(key))).toBe(0)
      }),
      { numRuns: 2_000 },
    )
    expect({ uncounted: uncounted > 1_000, sharedPlaces: sharedPlaces > 300, met: met > 1_000 }).toEqual({
      uncounted: true,
      sharedPlaces: true,
      met: true,
    })
  })

  test('ends when somebody asks which lane a key is on, and the answer is exact', () => {
    const table = new OverlapTable({ nowMs: 0 }, 16, 1)
    const tickets = new WriteTickets(table)
    const shared = new Shared(1)
    for (let i = 0; i < 3; i++) shared.push(1, tickets, false)
    shared.push(2, tickets, true)
    expect(table.isUncounted(shared.ring.at(2).ticket)).toBe(true)
    expect(table.laneToAsk(hashOf(3))).toBe(1)
    expect(table.isUncounted(shared.ring.at(2).ticket)).toBe(true)
    expect([1, 2, 3].map((key) => table.laneOf(hashOf(key)))).toEqual([1, 1, 0])
    expect(table.laneToAsk(hashOf(3))).toBe(0)
  })

  test('is told that its keys may have been written elsewhere if a write was in no ring when it ended', () => {
    const table = new OverlapTable({ nowMs: 0 }, 16, 1)
    const tickets = new WriteTickets(table)
    const shared = new Shared(1)
    for (let i = 0; i < 3; i++) shared.push(1, tickets, false)
    const [taken] = shared.ring.takeNewest(1)
    table.enter(hashOf(3), 7)
    expect(tickets.left(taken!, 1)).toBe(true)
    expect(tickets.left(shared.ring.at(1), 1)).toBe(false)
  })

  test('is told so, too, of a place whose replies are being told while it ends', () => {
    const table = new OverlapTable({ nowMs: 0 }, 16, 1)
    const tickets = new WriteTickets(table)
    const shared = new Shared(1)
    for (let i = 0; i < 3; i++) shared.push(1, tickets, false)
    shared.push(2, tickets, true)
    shared.push(3, tickets, true)
    const place = shared.ring.at(2)
    expect(place.count).toBe(3)
    expect(tickets.someLeft(place)).toBe(false)
    expect(table.isUncounted(place.ticket)).toBe(true)
    shared.telling = 3
    table.enter(hashOf(4), 7)
    expect(place.count).toBe(3)
    expect(tickets.someLeft(place)).toBe(true)
    expect(tickets.left(place, 1)).toBe(true)
    for (let i = 0; i < 2; i++) expect(tickets.left(shared.ring.at(i), 1)).toBe(false)
    for (const key of [1, 2, 3]) expect(table.laneOf(hashOf(key))).toBe(0)
  })

  test('keeps what others have in flight when a ticket is taken back twice', () => {
    const table = new OverlapTable({ nowMs: 0 }, 16, 1)
    const tickets = new WriteTickets(table)
    const shared = new Shared(1)
    for (let i = 0; i < 3; i++) shared.push(1, tickets, false)
    const write = shared.ring.at(2)
    expect(tickets.left(write, 1)).toBe(false)
    table.enter(hashOf(1), 7)
    for (let i = 0; i < 2; i++) tickets.left(shared.ring.at(i), 1)
    expect(table.laneOf(hashOf(1))).toBe(7)
    expect(tickets.left(write, 1)).toBe(true)
    expect(table.laneOf(hashOf(1))).toBe(7)
  })

  test('lets a read on another lane come to its end first, however long that takes', () => {
    const clock = { nowMs: 0 }
    const table = new OverlapTable(clock, 16, 1)
    const tickets = new WriteTickets(table)
    const shared = new Shared(1)
    /** Tries of a read that takes so long, beside writes of other keys that never cease. */
    const triesOf = (tookMs: number): number => {
      for (let tries = 1; tries < 100; tries++) {
        const ticket = table.look(hashOf(3), 7)
        for (let ms = 0; ms < tookMs; ms += 10) {
          clock.nowMs += 10
          for (let i = 0; i < 3; i++) shared.push(1, tickets, true)
          while (shared.ring.length > 1) shared.answer(tickets)
        }
        if (table.traffic(hashOf(3), 7) === ticket) return tries
      }
      return Number.POSITIVE_INFINITY
    }
    const isSole = (): boolean => table.isUncounted(shared.ring.at(shared.ring.length - 1).ticket)
    for (let i = 0; i < 3; i++) shared.push(1, tickets, false)
    expect(isSole()).toBe(true)
    expect(triesOf(900)).toBe(1)
    expect(triesOf(20_000)).toBe(2)
    expect(triesOf(20_000)).toBe(1)
    expect(isSole()).toBe(false)
    clock.nowMs += 40_000
    for (let i = 0; i < 3; i++) shared.push(1, tickets, false)
    expect(isSole()).toBe(true)
  })

  test('is no connection that a ring says not all of', () => {
    const table = new OverlapTable({ nowMs: 0 }, 16, 1)
    const tickets = new WriteTickets(table)
    const [cluster, shared] = [Object.assign(new Shared(1), { listsAll: false }), new Shared(2)]
    for (let i = 0; i < 20; i++) cluster.push(1, tickets, true)
    expect(Array.from({ length: 20 }, (_, i) => table.isUncounted(cluster.ring.at(i).ticket))).not.toContain(true)
    expect(table.laneOf(hashOf(1))).toBe(1)
    while (cluster.ring.length > 0) expect(cluster.answer(tickets).contested).toBe(false)
    for (let i = 0; i < 3; i++) shared.push(1, tickets, false)
    expect(table.isUncounted(shared.ring.at(2).ticket)).toBe(true)
  })

  test('does not begin while another one has something in flight, or every key changes', () => {
    const table = new OverlapTable({ nowMs: 0 }, 16, 1)
    const tickets = new WriteTickets(table)
    const shared = new Shared(1)
    const isSole = (): boolean => {
      for (let i = 0; i < 3; i++) shared.push(1, tickets, false)
      return table.isUncounted(shared.ring.at(shared.ring.length - 1).ticket)
    }
    table.enter(hashOf(3), 7)
    expect(isSole()).toBe(false)
    table.leave(hashOf(3), 7)
    table.beginSweep(1)
    expect(isSole()).toBe(false)
    table.endSweep()
    expect(isSole()).toBe(true)
    table.beginSweep(NOBODY)
    expect(table.isUncounted(shared.ring.at(shared.ring.length - 1).ticket)).toBe(false)
    // It was under way when that began.
    expect(tickets.left(shared.ring.at(shared.ring.length - 1), 1)).toBe(true)
  })
})
