import { expect, test } from 'vitest'
import { PrimaryReads } from '../../../src/mirror/copy/primary-reads.ts'
import { OverlapTable } from '../../../src/mirror/keys/overlap.ts'
import { ErrorReply, type Reply } from '../../../src/resp/reply.ts'
import type { Route } from '../../../src/routing/route.ts'
import { InFlight } from '../../../src/upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../../src/upstream/pipeline/pipeline.ts'

const HASH = 7
const LANE = 1
const OTHER_LANE = 2

function start(overlap = new OverlapTable({ nowMs: 0 })) {
  const sent: string[] = []
  const rounds: Reply[][] = []
  const losses: string[] = []
  const reads = new PrimaryReads(
    overlap,
    HASH,
    (replies) => rounds.push(replies),
    (error) => losses.push(error),
  )
  const pipeline = {
    lane: LANE,
    push: (_owner: unknown, bytes: Buffer) => {
      sent.push(bytes.toString())
      return new InFlight()
    },
  } as unknown as Pipeline
  const send = (...commands: string[][]): void => reads.send(pipeline, {} as Route, 0, commands)
  const answer = (reply: string): void => reads.settle(new InFlight(), Buffer.from(reply), 0, reply.length)
  return { overlap, reads, send, answer, sent, rounds, losses }
}

test('replies are told when all of a round have come, an error among them too, and the next round begins with none', () => {
  const { reads, send, answer, sent, rounds } = start()
  send(['DUMP', 'k'], ['PTTL', 'k'])
  expect(sent).toEqual(['*2\r\n$4\r\ndUMP\r\n$1\r\nk\r\n', '*2\r\n$4\r\npTTL\r\n$1\r\nk\r\n'])
  answer('-ERR no\r\n')
  expect(rounds).toEqual([])
  answer(':-1\r\n')
  expect(rounds).toEqual([[new ErrorReply('ERR no'), -1]])
  expect(reads.replyBytes).toBe(14)
  send(['TYPE', 'k'])
  answer('+none\r\n')
  expect(rounds[1]).toHaveLength(1)
  expect(reads.replyBytes).toBe(7)
})

test('a write on another connection disturbs a round, one on its own does not', () => {
  const { overlap, reads, send } = start()
  // From now on it is the lane that wrote last.
  overlap.enter(HASH, LANE)
  send(['DUMP', 'k'])
  overlap.enter(HASH, LANE)
  expect(reads.isDisturbed).toBe(false)
  overlap.enter(HASH, OTHER_LANE)
  expect(reads.isDisturbed).toBe(true)
})

test('a round that leaves while another connection writes is disturbed from the beginning; the next one need not be', () => {
  const { overlap, reads, send } = start()
  const ticket = overlap.enter(HASH, OTHER_LANE)
  send(['DUMP', 'k'])
  expect(reads.isDisturbed).toBe(true)
  overlap.left(HASH, OTHER_LANE, ticket)
  send(['DUMP', 'k'])
  expect(reads.isDisturbed).toBe(false)
})

test('reads that are lost are told one by one, and never as answered', () => {
  const { reads, send, answer, rounds, losses } = start()
  send(['DUMP', 'k'], ['PTTL', 'k'])
  answer('$1\r\nx\r\n')
  reads.lost(new InFlight(), { text: 'LOST' } as Parameters<PrimaryReads['lost']>[1])
  expect(losses).toEqual(['LOST'])
  expect(rounds).toEqual([])
})
