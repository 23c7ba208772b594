import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CoarseClock } from '../../../src/base/clock.ts'
import { finishCopies } from '../../../src/base/copy-run.ts'
import { READ_BUFFER } from '../../../src/base/read-buffer.ts'
import { COMPLETE, CommandParser } from '../../../src/resp/command-parser.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type InFlight, type Loss, type ReplyOwner, TOGETHER } from '../../../src/upstream/pipeline/in-flight.ts'
import { Losses } from '../../../src/upstream/pipeline/losses.ts'
import type { Outlet } from '../../../src/upstream/pipeline/pipeline-connection.ts'
import { SendQueue } from '../../../src/upstream/pipeline/send-queue.ts'
import { oldestOf } from '../../../src/upstream/pipeline/shared-place.ts'

/** What a queue has to be: commands, each with its number, its bytes and whether they have left. */
interface Expected {
  readonly seq: number
  readonly bytes: string
  written: boolean
  timedOut: boolean
}

/** A queue, what it should be, and what was done to it. */
class Model implements ReplyOwner {
  readonly clock = new CoarseClock()
  readonly queue = new SendQueue(this.clock, false, () => {})
  readonly losses = new Losses(this.queue, (slot) => this.queue.release(slot))
  readonly expected: Expected[] = []
  readonly told: string[] = []
  written = ''
  #left = ''
  #seq = 0
  #newest: InFlight | null = null
  #readAt = 0

  constructor() {
    finishCopies()
    this.clock.nowMs = 0
  }

  /** A command; `shares`: it is like the one before. True: it got the place of that one. */
  push(size: number, shares: boolean, flags: number): boolean {
    const bytes = encodeCommand(['GET', 'k'.repeat(size)])
    const seq = this.#seq++
    this.expected.push({ seq, bytes: bytes.toString('latin1'), written: false, timedOut: false })
    const { queue } = this
    const newest = this.#newest
    const [buf, from] = this.#read(bytes)
    const to = from + bytes.length
    if (shares && newest !== null && newest.flags === 0 && queue.join(newest, this, seq, buf, from, to)) return true
    const slot = queue.append(this, buf, from, to)
    slot.seq = seq
    slot.flags = flags
    this.#newest = slot
    return false
  }

  /** A command that goes elsewhere has the next number. */
  giveNumberAway(): void {
    this.#seq++
  }

  /** As from a client: the bytes lie in the thread's read buffer until the next read. */
  #read(bytes: Buffer): [buf: Buffer, from: number] {
    if (bytes.length > READ_BUFFER.length) return [bytes, 0]
    if (this.#readAt + bytes.length > READ_BUFFER.length) {
      finishCopies()
      this.#readAt = 0
    }
    const from = this.#readAt
    this.#readAt += bytes.copy(READ_BUFFER, from)
    return [READ_BUFFER, from]
  }

  write(): void {
    const write = (bytes: Uint8Array): boolean => {
      this.written += Buffer.from(bytes).toString('latin1')
      return true
    }
    this.queue.writeTo({ write, cork: () => {}, uncork: () => {} } as unknown as Outlet)
    for (const one of this.expected) {
      if (!one.written) this.#left += one.bytes
      one.written = true
    }
    expect(this.written).toBe(this.#left)
  }

  /** As many replies as there are commands that have left, `most` at most. */
  answer(most: number): void {
    const { ring } = this.queue
    let left = Math.min(most, this.expected.filter((one) => one.written).length)
    while (left > 0) {
      const slot = ring.peek()!
      const count = Math.min(left, slot.count)
      expect(slot.seq).toBe(this.expected[0]!.seq)
      ring.answer(slot, count)
      if (slot.count === 0) this.queue.release(slot)
      this.expected.splice(0, count)
      left -= count
    }
  }

  /** Ticks come between reads, when all copies are finished. */
  wait(ms: number): void {
    finishCopies()
    this.clock.nowMs += ms
    this.queue.tellTimedOut(this.clock.nowMs, 100)
  }

  lose(howMany: 'head' | 'written' | 'all'): void {
    const sent: Loss = { mayHaveRun: true, text: 'sent' }
    const unsent: Loss = { mayHaveRun: false, text: 'unsent' }
    const lost = this.expected.filter(({ written }, i) =>
      howMany === 'head' ? i === 0 : howMany === 'written' ? written : true,
    )
    this.told.length = 0
    if (howMany === 'head') this.losses.head(this.expected[0]?.written === false ? unsent : sent)
    else if (howMany === 'written') this.losses.written(sent)
    else this.losses.all(sent, unsent)
    expect(this.told).toEqual(lost.map(({ seq, bytes, written }) => `${seq} ${written ? 'sent' : 'unsent'} ${bytes}`))
    this.expected.splice(0, lost.length)
    // Nothing of an unwritten one leaves any more.
    if (howMany !== 'written') this.#newest = null
  }

  takeBack(): void {
    const unsent = this.queue.takeUnsent()
    expect(unsent.map(({ seq, count }) => [seq, count])).toEqual(
      this.expected.filter(({ written }) => !written).map(({ seq }) => [seq, 1]),
    )
    for (const slot of unsent) this.#newest = this.queue.appendAgain(slot)
  }

  settle(): void {}

  lost(slot: InFlight, loss: Loss): void {
    this.told.push(`${slot.seq} ${loss.text} ${textOf(slot)}`)
  }

  timedOut(slot: InFlight): void {
    const one = this.expected.find(({ seq }) => seq === slot.seq)!
    expect(textOf(slot)).toBe(one.bytes)
    expect(one.timedOut).toBe(false)
    one.timedOut = true
  }

  check(): void {
    finishCopies()
    const { queue } = this
    const found = []
    let position = 0
    for (let i = 0; i < queue.ring.length; i++) {
      const slot = queue.ring.at(i)
      expect(slot.position).toBeGreaterThanOrEqual(position)
      position = slot.position + slot.end - slot.start
      found.push(...commandsOf(slot, queue.written))
    }
    expect(position).toBeLessThanOrEqual(queue.pushed)
    const head = queue.ring.peek()
    if (head?.isShared) {
      const [start, end] = oldestOf(head)
      expect(head.chunk!.buf.toString('latin1', start, end)).toBe(this.expected[0]!.bytes)
    }
    expect(found).toEqual(this.expected.map(({ seq, bytes, written, timedOut }) => ({ seq, bytes, written, timedOut })))
    expect(queue.ring.commands).toBe(this.expected.length)
    const answered = queue.ring.length === 0 ? 0 : answeredBytes(queue.ring.peek()!)
    expect(queue.pendingBytes).toBe(this.expected.reduce((sum, { bytes }) => sum + bytes.length, answered))
  }
}

const parser = new CommandParser()

function commandsOf(slot: InFlight, written: number): Expected[] {
  const { buf } = slot.chunk!
  const commands: Expected[] = []
  let at = slot.start
  for (let i = 0; i < slot.answered + slot.count; i++) {
    expect(parser.parse(buf, at, slot.end)).toBe(COMPLETE)
    if (i >= slot.answered)
      commands.push({
        seq: slot.seq + i - slot.answered,
        bytes: buf.toString('latin1', at, parser.next),
        written: slot.position < written,
        timedOut: slot.timedOut,
      })
    at = parser.next
  }
  expect(at).toBe(slot.end)
  return commands
}

function answeredBytes({ chunk, start, end, answered }: InFlight): number {
  let at = start
  for (let i = 0; i < answered; i++) {
    parser.parse(chunk!.buf, at, end)
    at = parser.next
  }
  return at - start
}

const textOf = (slot: InFlight): string => slot.chunk!.buf.toString('latin1', slot.start, slot.end)

test('whether commands share a place or not, each keeps its number, its bytes, its time and its turn', () => {
  const op = fc.oneof(
    { weight: 6, arbitrary: fc.record({ op: fc.constant('packet'), n: fc.integer({ min: 1, max: 20 }) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('push'), n: fc.constantFrom(20_000, 40_000, 70_000) }) },
    {
      weight: 8,
      arbitrary: fc.record({ op: fc.constantFrom('write', 'answer'), n: fc.integer({ min: 1, max: 12 }) }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        op: fc.constantFrom('other', 'gap', 'wait', 'separate', 'separateHead', 'takeBack', 'lose'),
        n: fc.integer({ min: 0, max: 12 }),
      }),
    },
  )
  let shared = 0
  fc.assert(
    fc.property(fc.array(op, { minLength: 20, maxLength: 80 }), (ops) => {
      const model = new Model()
      const { queue } = model
      for (const { op: name, n } of ops) {
        if (name === 'push') model.push(n, true, 0)
        else if (name === 'packet') for (let i = 0; i < n; i++) shared += Number(model.push((i * n) % 13, i > 0, 0))
        else if (name === 'other') model.push(n, n % 2 === 0, n % 3 === 0 ? TOGETHER : 0)
        else if (name === 'gap') model.giveNumberAway()
        else if (name === 'write') model.write()
        else if (name === 'answer') model.answer(n)
        else if (name === 'wait') model.wait(n * 10)
        else if (name === 'separate') queue.separate()
        else if (name === 'separateHead' && queue.ring.length > 0) queue.separateHead()
        else if (name === 'takeBack') model.takeBack()
        else if (name === 'lose') model.lose((['head', 'written', 'all'] as const)[n % 3]!)
        // Looking finishes copies, which a queue has to do by itself where it matters.
        if (n % 3 === 0) model.check()
        if (name === 'separate') {
          expect(queue.ring.length).toBe(model.expected.length)
          expect(queue.ring.hasShared).toBe(false)
        }
      }
      // What is left goes out and is answered, in its order.
      model.write()
      model.answer(Number.POSITIVE_INFINITY)
      expect(model.expected).toEqual([])
      expect(queue.quiet).toBe(true)
      expect(queue.pendingBytes).toBe(0)
      expect(queue.settledBytes).toBe(queue.pushed)
    }),
    { numRuns: 120 },
  )
  expect(shared).toBeGreaterThan(1_000)
})

test('bytes without a place leave behind all commands, and not at all once their connection has gone', () => {
  const model = new Model()
  const { queue } = model
  const written: string[] = []
  const outlet = {
    write: (bytes: Uint8Array) => written.push(Buffer.from(bytes).toString('latin1')),
    cork: () => {},
    uncork: () => {},
  } as unknown as Outlet
  queue.relay(Buffer.from('.one.'), 1, 4)
  queue.append(model, Buffer.from('command'), 0, 7)
  queue.relay(Buffer.from('two'), 0, 3)
  queue.writeTo(outlet)
  expect(written).toEqual(['command', 'onetwo'])
  queue.relay(Buffer.from('lost'), 0, 4)
  queue.dropRelayed()
  queue.writeTo(outlet)
  expect(written).toEqual(['command', 'onetwo'])
})

test('the head is detached when it has been written, owes no more than it may, and nobody is being told of it', () => {
  const model = new Model()
  const { queue } = model
  expect(queue.detachHead(1, false, null)).toBe(null)
  model.push(3, false, 0)
  const slot = queue.ring.peek()!
  expect(queue.detachHead(1, false, null)).toBe(null)
  model.write()
  expect(queue.detachHead(0, false, null)).toBe(null)
  expect(queue.detachHead(1, false, slot)).toBe(null)
  // Its owner does not want to be told that its parts are executed apart.
  expect(queue.detachHead(1, true, null)).toBe(null)
  const detached = queue.detachHead(1, false, null)!
  expect(queue.ring.length).toBe(0)
  expect(queue.quiet).toBe(false)
  const reply = Buffer.from('+OK\r\n')
  detached.settle(reply, 0, reply.length)
  expect(queue.quiet).toBe(true)
})
