import { expect, test } from 'vitest'
import { READ_BUFFER } from '../../../src/base/read-buffer.ts'
import { OverlapTable } from '../../../src/mirror/keys/overlap.ts'
import { WriteTickets } from '../../../src/mirror/keys/write-tickets.ts'
import { settleWrites } from '../../../src/proxy/forward/write-replies.ts'
import type { Session } from '../../../src/proxy/session/session.ts'
import { type InFlight, InFlightRing } from '../../../src/upstream/pipeline/in-flight.ts'
import { ReplyRun } from '../../../src/upstream/pipeline/reply-run.ts'

/** Settles a run of writes with these replies, each to a key of its own; what was done with each. Another connection writes to the keys of `met` meanwhile; `taken`: may go with its neighbours. */
function done(
  replies: readonly string[],
  met: readonly number[],
  taken: (seq: number) => boolean,
  fails = -1,
): string[] {
  const overlap = new OverlapTable({ nowMs: 0 })
  const ring = new InFlightRing()
  for (let i = 0; i < replies.length; i++) {
    const ticket = overlap.enter(i + 1, 1)
    Object.assign(ring.push(), { seq: i, keyHash: i + 1, lane: 1, ticket })
  }
  for (const i of met) overlap.enter(i + 1, 2)
  const said: string[] = []
  const runs = {
    take: ({ seq }: InFlight, reply: Buffer, at: number): boolean => {
      if (taken(seq)) said.push(`${seq}${reply.toString('latin1', at, reply.indexOf('\r', at))}`)
      return taken(seq)
    },
    send: () => said.at(-1) !== '|' && said.push('|'),
  }
  const mirror = {
    runs,
    settled: ({ seq }: InFlight, buf: Buffer, start: number, end: number, contested: boolean) => {
      said.push(`${contested ? 'contested' : 'alone'} ${seq}${buf.toString('latin1', start, end).trim()}`)
      if (seq === fails) throw new Error('a defect')
    },
    lostOnPrimary: ({ seq }: InFlight) => said.push(`lost ${seq}`),
  }
  const session = {
    writesOwed: replies.length,
    path: { mirror, tickets: new WriteTickets(overlap), log: () => said.push('logged') },
  }
  const text = replies.join('')
  const step = replies.every((one) => one.length === replies[0]!.length) ? replies[0]!.length : 0
  READ_BUFFER.write(text, 7, 'latin1')
  const run = Object.assign(new ReplyRun(), { count: replies.length, start: 7, end: 7 + text.length, step })
  settleWrites(session as unknown as Session, run, ring)
  expect(session.writesOwed).toBe(0)
  for (let i = 0; i < replies.length; i++) expect(overlap.laneOf(i + 1)).toBe(met.includes(i) ? 2 : 0)
  return said
}

const all = (): boolean => true

test('writes that nobody has met go to the shadow together', () => {
  expect(done(['+OK\r\n', '+OK\r\n', '+OK\r\n'], [], all)).toEqual(['0+OK', '1+OK', '2+OK', '|'])
  expect(done([':1\r\n', '+OK\r\n', '$2\r\nab\r\n', ':10\r\n'], [], all)).toEqual(['0:1', '1+OK', '2$2', '3:10', '|'])
})

test('one that another connection has met goes its own way, at its place; so does one that cannot go together', () => {
  const replies = Array.from({ length: 5 }, () => '+OK\r\n')
  expect(done(replies, [1], (seq) => seq !== 3)).toEqual([
    '0+OK',
    '|',
    'contested 1+OK',
    '2+OK',
    '|',
    'alone 3+OK',
    '4+OK',
    '|',
  ])
})

test('one that cannot be mirrored for a defect is copied, and the others are mirrored', () => {
  const replies = [':1\r\n', ':22\r\n', ':3\r\n']
  expect(done(replies, [1], all, 1)).toEqual(['0:1', '|', 'contested 1:22', 'logged', 'lost 1', '2:3', '|'])
})
