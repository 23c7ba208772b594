import fc from 'fast-check'
import { expect, test } from 'vitest'
import { READ_BUFFER } from '../../src/base/read-buffer.ts'
import { Chunk } from '../../src/upstream/chunk.ts'
import { type InFlight, InFlightRing, type ReplyOwner, TOGETHER } from '../../src/upstream/in-flight.ts'
import type { Losses } from '../../src/upstream/losses.ts'
import type { Pipeline } from '../../src/upstream/pipeline.ts'
import { ReplyPairing } from '../../src/upstream/reply-pairing.ts'

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
const split = (text: string): string[] => text.match(/\+OK\r\n|\+QUEUED\r\n|-ERR no\r\n|:12\r\n|\$3\r\n\+OK\r\n/g) ?? []

test('in whatever pieces they come, each command is given its replies, once and in order, as one, as several or with its neighbours', () => {
  const any = fc.record({
    replies: fc.array(fc.constantFrom(...TEXTS), { minLength: 1, maxLength: 7 }),
    flags: fc.constantFrom(0, 1, TOGETHER | 1),
    late: fc.boolean(),
  })
  // Most are such, and several of them in a row make a run.
  const usual = fc.record({
    replies: fc.constantFrom(...TEXTS).map((text) => [text]),
    flags: fc.constantFrom(0, 0, 0, TOGETHER | 1),
    late: fc.constant(false),
  })
  const command = fc.oneof({ weight: 1, arbitrary: any }, { weight: 4, arbitrary: usual })
  fc.assert(
    fc.property(fc.array(command, { maxLength: 20 }), fc.array(fc.integer({ min: 1, max: 40 })), (commands, cuts) => {
      const ring = new InFlightRing()
      const chunk = new Chunk(1)
      const told: string[][] = commands.map(() => [])
      let released = 0
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
          expect(released).toBe(seq)
          for (let i = 0; i < count; i++) expect(slots.at(i)).toMatchObject({ seq: seq + i, flags: TOGETHER | 1 })
        },
        settleRun: ({ seq, count, start, end }) => {
          const texts = split(READ_BUFFER.toString('latin1', start, end).replaceAll('*1\r\n', ''))
          expect(texts).toHaveLength(count)
          for (let i = 0; i < count; i++) told[seq + i]!.push(commands[seq + i]!.replies[0]!)
        },
        lost: () => expect.fail('nothing is lost'),
        timedOut: () => {},
      }
      // Whoever takes runs announces no command with several replies.
      const { settleRun: _, settleTogether: __, ...ofSeveral } = owner
      for (const [seq, { replies, flags, late }] of commands.entries())
        Object.assign(ring.push(), {
          owner: replies.length > 1 ? ofSeveral : owner,
          seq,
          chunk,
          flags,
          replies: replies.length,
          queuedAtMs: late ? 0 : 100,
        })
      const release = (slot: InFlight): void => {
        expect(slot).toBe(ring.peek())
        released++
        ring.pop()
      }
      const pipeline = {
        state: 'up',
        relay: false,
        full: false,
        ring,
        options: { clock: { nowMs: 100 } },
        release,
        releaseWithRoom: release,
      }
      const pairing = new ReplyPairing(pipeline as unknown as Pipeline, {} as Losses, () => {})
      let rest = commands.flatMap(({ replies }) => replies).join('')
      for (let i = 0; rest !== ''; i++) {
        const length = READ_BUFFER.write(rest.slice(0, cuts[i] ?? 1_000), 0, 'latin1')
        rest = rest.slice(length)
        pairing.read(READ_BUFFER, length)
      }
      expect(told).toEqual(commands.map(({ replies }) => replies))
      expect(released).toBe(commands.length)
    }),
    { numRuns: 500 },
  )
})
