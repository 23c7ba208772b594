import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CoarseClock } from '../../../src/base/clock.ts'
import { READ_BUFFER } from '../../../src/base/read-buffer.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type InFlight, type ReplyOwner, TOGETHER } from '../../../src/upstream/pipeline/in-flight.ts'
import type { Losses } from '../../../src/upstream/pipeline/losses.ts'
import type { Pipeline } from '../../../src/upstream/pipeline/pipeline.ts'
import type { Outlet } from '../../../src/upstream/pipeline/pipeline-connection.ts'
import { ReplyPairing } from '../../../src/upstream/pipeline/reply-pairing.ts'
import { SendQueue } from '../../../src/upstream/pipeline/send-queue.ts'
import { oldestOf } from '../../../src/upstream/pipeline/shared-place.ts'

const TEXTS = [
  '+OK\r\n',
  '+OK\r\n',
  '+OK\r\n',
  '+QUEUED\r\n',
  '-ERR no\r\n',
  ':12\r\n',
  '$3\r\n+OK\r\n',
  '$3\r\n+OK\r\n',
  '*1\r\n+OK\r\n',
]

/** The texts of replies that lie one behind the other. */
const split = (text: string): string[] =>
  text.match(/\*1\r\n\+OK\r\n|\+OK\r\n|\+QUEUED\r\n|-ERR no\r\n|:12\r\n|\$3\r\n\+OK\r\n/g) ?? []

test('in whatever pieces they come, each command is given its replies, once and in order, as one, as several or with its neighbours, whose place it may share', () => {
  const any = fc.record({
    replies: fc.array(fc.constantFrom(...TEXTS), { minLength: 1, maxLength: 7 }),
    flags: fc.constantFrom(0, 1, TOGETHER | 1),
    late: fc.boolean(),
    shares: fc.boolean(),
  })
  // Most are such, and several of them in a row make a run.
  const usual = fc.record({
    replies: fc.constantFrom(...TEXTS).map((text) => [text]),
    flags: fc.constantFrom(0, 0, 0, TOGETHER | 1, TOGETHER | 1),
  })
  const packet = fc
    .tuple(fc.constantFrom(false, false, true), fc.array(usual, { minLength: 1, maxLength: 12 }))
    .map(([late, list]) => list.map((one) => ({ ...one, late, shares: true })))
  const alike = fc
    .tuple(packet, fc.constantFrom(0, TOGETHER | 1))
    .map(([list, flags]) => list.map((one) => ({ ...one, flags })))
  const list = fc
    .array(
      fc.oneof(
        any.map((one) => [one]),
        packet,
        alike,
      ),
      { maxLength: 6 },
    )
    .map((packets) => packets.flat())
  let shared = 0
  let lateShared = 0
  let together = 0
  fc.assert(
    fc.property(list, fc.array(fc.integer({ min: 1, max: 40 })), (commands, cuts) => {
      const clock = new CoarseClock()
      clock.nowMs = 100
      const queue = new SendQueue(clock, false, () => {})
      const { ring } = queue
      const told: string[][] = commands.map(() => [])
      const owner: ReplyOwner = {
        settle: ({ seq }, buf, start, end) => told[seq]!.push(buf.toString('latin1', start, end)),
        settleSame: ({ seq }, count) => {
          for (let i = 0; i < count; i++) {
            const text = commands[seq]!.replies[told[seq]!.length]!
            expect(text).toMatch(/^\+/)
            told[seq]!.push(text)
          }
        },
        settleTogether: ({ seq, count }, slots) => {
          expect(pairing.telling).toBeGreaterThan(0)
          let next = seq
          for (let place = 0; next < seq + count; place++) {
            // An owner may look at what is in flight, all of which but this has a place of its own then.
            if (seq % 3 === 0) {
              queue.separate(pairing.telling)
              for (let i = pairing.telling; i < slots.length; i++) expect(slots.at(i).isShared).toBe(false)
            }
            const slot = slots.at(place)
            expect(slot).toMatchObject({ seq: next, flags: TOGETHER | 1, answered: 0 })
            if (slot.isShared) together++
            next += slot.count
          }
        },
        late: (slot) => {
          expect(slot.queuedAtMs).toBe(0)
          lateShared += Number(slot.isShared)
          const [start, end] = oldestOf(slot)
          expect(slot.chunk!.buf.toString('latin1', start, end)).toBe(`${encodeCommand(['ECHO', slot.seq])}`)
        },
        settleRun: ({ seq, count, step, start, end }) => {
          // An owner may look at what is in flight.
          if (seq % 3 === 0) queue.separate()
          const texts = split(READ_BUFFER.toString('latin1', start, end))
          expect(texts).toHaveLength(count)
          for (const text of texts) if (step > 0) expect(text).toHaveLength(step)
          for (let i = 0; i < count; i++) told[seq + i]!.push(commands[seq + i]!.replies[0]!)
        },
        lost: () => expect.fail('nothing is lost'),
        timedOut: () => {},
      }
      // Whoever takes runs announces no command with several replies.
      const { settleRun: _, settleTogether: __, ...ofSeveral } = owner
      let newest: InFlight | null = null
      for (const [seq, { replies, flags, late, shares }] of commands.entries()) {
        const bytes = encodeCommand(['ECHO', seq])
        const of = replies.length > 1 ? ofSeveral : owner
        clock.nowMs = late ? 0 : 100
        const isLikeTheLast = newest !== null && newest.flags === flags && newest.replies === 1 && flags !== 1
        if (shares && isLikeTheLast && queue.join(newest!, of, seq, bytes, 0, bytes.length)) {
          shared++
          continue
        }
        newest = Object.assign(queue.append(of, bytes, 0, bytes.length), { seq, flags, replies: replies.length })
      }
      clock.nowMs = 100
      const outlet = { write: () => true, cork: () => {}, uncork: () => {} }
      queue.writeTo(outlet as unknown as Outlet)
      const release = (slot: InFlight): void => {
        expect(slot).toBe(ring.peek())
        queue.release(slot)
      }
      const pipeline = {
        state: 'up',
        relay: false,
        full: false,
        ring,
        options: { clock },
        release,
        releaseWithRoom: release,
        separateHead: () => queue.separateHead(),
      }
      const pairing = new ReplyPairing(pipeline as unknown as Pipeline, {} as Losses, () => {})
      let rest = commands.flatMap(({ replies }) => replies).join('')
      for (let i = 0; rest !== ''; i++) {
        const length = READ_BUFFER.write(rest.slice(0, cuts[i] ?? 1_000), 0, 'latin1')
        rest = rest.slice(length)
        pairing.read(READ_BUFFER, length)
      }
      expect(told).toEqual(commands.map(({ replies }) => replies))
      expect(ring.length).toBe(0)
      expect(queue.pendingBytes).toBe(0)
    }),
    { numRuns: 1_500 },
  )
  expect(shared).toBeGreaterThan(300)
  expect(lateShared).toBeGreaterThan(15)
  expect(together).toBeGreaterThan(100)
})
