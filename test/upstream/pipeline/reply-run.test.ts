import fc from 'fast-check'
import { expect, test } from 'vitest'
import { READ_BUFFER } from '../../../src/base/read-buffer.ts'
import { InFlight, type ReplyOwner, TOGETHER } from '../../../src/upstream/pipeline/in-flight.ts'
import { LATE_MS, ReplyRun } from '../../../src/upstream/pipeline/reply-run.ts'

/** Says of a run which commands it answers, and with what. */
function teller(into: string[], name = ''): ReplyOwner {
  return {
    settle: () => {},
    lost: () => {},
    timedOut: () => {},
    settleRun: ({ seq, count, start, end }) =>
      into.push(`${name}${seq}+${count} ${READ_BUFFER.toString('latin1', start, end)}`),
  }
}

function slotOf(owner: ReplyOwner, seq: number, more: Partial<InFlight> = {}): InFlight {
  return Object.assign(new InFlight(), { owner, seq, ...more })
}

const at = (text: string, start = 0): number => start + READ_BUFFER.write(text, start, 'latin1')

test('replies to one owner, one behind the other, are one run', () => {
  const told: string[] = []
  const owner = teller(told)
  const run = new ReplyRun()
  const end = at('+a\r\n+b\r\n+c\r\n')
  expect(run.begin(slotOf(owner, 5), 0, READ_BUFFER, 0, 4)).toBe(true)
  expect(run.extend(slotOf(owner, 6), READ_BUFFER, 4, 8)).toBe(true)
  expect(run.extend(slotOf(owner, 7), READ_BUFFER, 8, end)).toBe(true)
  run.tell()
  run.tell()
  expect(told).toEqual(['5+3 +a\r\n+b\r\n+c\r\n'])
})

const other = teller([])
test.each<[string, (owner: ReplyOwner) => InFlight]>([
  ['of another client', () => slotOf(other, 1)],
  ['with a number left out', (owner) => slotOf(owner, 2)],
  ['with a mark', (owner) => slotOf(owner, 1, { flags: 1 })],
  ['with several replies', (owner) => slotOf(owner, 1, { replies: 2 })],
  ['of another route', (owner) => slotOf(owner, 1, { route: {} })],
  ['sent at another time', (owner) => slotOf(owner, 1, { queuedAtMs: 1 })],
  ['that has timed out', (owner) => slotOf(owner, 1, { timedOut: true })],
])('a run does not go on with a command %s', (_name, slot) => {
  const owner = teller([])
  const run = new ReplyRun()
  at('+a\r\n+b\r\n-c\r\n')
  expect(run.begin(slotOf(owner, 0), 0, READ_BUFFER, 0, 4)).toBe(true)
  expect(run.extend(slot(owner), READ_BUFFER, 4, 8)).toBe(false)
  expect(run.extend(slotOf(owner, 1), READ_BUFFER, 4, 8)).toBe(true)
})

test('commands that ask for the same, and may be told together, make a run that keeps their places', () => {
  const told: string[] = []
  const owner = teller(told)
  const run = new ReplyRun()
  const flags = TOGETHER | 1
  at('+a\r\n+b\r\n+cc\r\n+d\r\n')
  expect(run.kept).toBe(0)
  expect(run.begin(slotOf(owner, 5, { flags }), 0, READ_BUFFER, 0, 4)).toBe(true)
  expect(run.extend(slotOf(owner, 6), READ_BUFFER, 4, 8)).toBe(false)
  expect(run.extend(slotOf(owner, 6, { flags: TOGETHER | 2 }), READ_BUFFER, 4, 8)).toBe(false)
  expect(run.extend(slotOf(owner, 6, { flags }), READ_BUFFER, 4, 8)).toBe(true)
  expect([run.kept, run.step]).toEqual([2, 4])
  expect(run.extend(slotOf(owner, 7, { flags }), READ_BUFFER, 8, 13)).toBe(true)
  expect([run.kept, run.step]).toEqual([3, 0])
  run.tell()
  expect(told).toEqual(['5+3 +a\r\n+b\r\n+cc\r\n'])
  expect(run.kept).toBe(0)
  expect(run.begin(slotOf(owner, 8), 0, READ_BUFFER, 13, 17)).toBe(true)
  expect(run.kept).toBe(0)
})

test('a run does not go on with an error, behind a gap, or in other bytes', () => {
  const owner = teller([])
  const run = new ReplyRun()
  at('+a\r\n-b\r\n+c\r\n')
  run.begin(slotOf(owner, 0), 0, READ_BUFFER, 0, 4)
  expect(run.extend(slotOf(owner, 1), READ_BUFFER, 4, 8)).toBe(false)
  expect(run.extend(slotOf(owner, 1), READ_BUFFER, 8, 12)).toBe(false)
  expect(run.extend(slotOf(owner, 1), Buffer.from(READ_BUFFER.subarray(0, 12)), 4, 8)).toBe(false)
})

test('the first of a run that came late is shown to its owner', () => {
  const late: number[] = []
  const owner: ReplyOwner = { ...teller([]), late: ({ seq }) => late.push(seq) }
  const run = new ReplyRun()
  at('+a\r\n+b\r\n')
  run.begin(slotOf(owner, 3), LATE_MS - 1, READ_BUFFER, 0, 4)
  run.tell()
  expect(late).toEqual([])
  run.begin(slotOf(owner, 4), LATE_MS, READ_BUFFER, 0, 4)
  run.extend(slotOf(owner, 5), READ_BUFFER, 4, 8)
  run.tell()
  expect(late).toEqual([4])
})

test('what needs more than to be passed on begins no run', () => {
  const owner = teller([])
  const run = new ReplyRun()
  const begins = (slot: InFlight, nowMs = 0, buf = READ_BUFFER): boolean => run.begin(slot, nowMs, buf, 0, 4)
  at('+a\r\n')
  for (const more of [{ flags: 8 }, { replies: 3 }, { timedOut: true }]) {
    expect(begins(slotOf(owner, 0, more))).toBe(false)
  }
  // A part of a command that was split over stores.
  expect(begins(slotOf(owner, -1))).toBe(false)
  expect(begins(slotOf({ settle: () => {}, lost: () => {}, timedOut: () => {} }, 0))).toBe(false)
  expect(begins(slotOf(owner, 0), 0, Buffer.from('+a\r\n'))).toBe(false)
  at('-a\r\n')
  expect(begins(slotOf(owner, 0))).toBe(false)
})

test('whatever comes in whatever order, each reply is told once, to whom it belongs', () => {
  const reply = fc.record({
    client: fc.nat(2),
    text: fc.constantFrom('+OK\r\n', '$1\r\nx\r\n', '-ERR\r\n'),
    flags: fc.constantFrom(0, 0, 0, 1),
  })
  fc.assert(
    fc.property(fc.array(reply, { maxLength: 40 }), (replies) => {
      const told: string[][] = [[], [], []]
      const next = [0, 0, 0]
      const owners = told.map(
        (list, client): ReplyOwner => ({
          settle: () => {},
          lost: () => {},
          timedOut: () => {},
          settleRun: ({ seq, count, start, end }) => {
            expect(seq).toBe(list.length)
            const texts = READ_BUFFER.toString('latin1', start, end).match(/\+OK\r\n|\$1\r\nx\r\n|-ERR\r\n/g)!
            expect(texts).toHaveLength(count)
            list.push(...texts)
            expect(client).toBe(told.indexOf(list))
          },
        }),
      )
      const run = new ReplyRun()
      let start = 0
      for (const { client, text, flags } of replies) {
        const end = at(text, start)
        const slot = slotOf(owners[client]!, next[client]!++, { flags })
        if (run.owner === null || !run.extend(slot, READ_BUFFER, start, end)) {
          run.tell()
          if (!run.begin(slot, 0, READ_BUFFER, start, end)) told[client]!.push(text)
        }
        start = end
      }
      run.tell()
      for (const [client, list] of told.entries()) {
        expect(list).toEqual(replies.filter((one) => one.client === client).map(({ text }) => text))
      }
    }),
  )
})
