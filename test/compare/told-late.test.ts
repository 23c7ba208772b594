import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WAITS_FOR_COPY } from '../../src/mirror/copy/aligned-reads.ts'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { type HeldReplies, holdReplies } from '../support/held-replies.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'

const SCRIPT = "return redis.call('set', 'made:' .. ARGV[1], ARGV[2])"

let old: RedisServer
let fresh: RedisServer
let replies: HeldReplies
let path: DataPathUnderTest
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterAll(() => Promise.all([old.stop(), fresh.stop()]))
afterEach(async () => {
  await path.stop()
  await replies.stop()
  await Promise.all([old, fresh].map((server) => server.client().flushall()))
})

/** The shadow has another value of `planted`; and of `made:k`, of which the primary has not told yet that a script has written it. */
async function toldLate() {
  replies = await holdReplies(old.port)
  path = await startDataPath({
    stores: { old: { port: replies.port, timeoutMs: 60_000 }, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'shadow', compare: { sample: 1 } }],
  })
  const app = path.client()
  await app.set('planted', 'a')
  await app.eval(SCRIPT, 0, 'k', 'first')
  await eventually(async () => expect(await fresh.client().get('made:k')).toBe('first'))
  await settled(path)
  await fresh.client().set('planted', 'b')
  await fresh.client().config('RESETSTAT')
  replies.hold((sent) => sent.includes('BCAST'))
  await app.eval(SCRIPT, 0, 'k', 'later')
  return app
}

async function calls(server: RedisServer, command: string): Promise<number> {
  const info = await server.client().info('commandstats')
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(info)?.[1] ?? 0)
}

function compared() {
  const { counters, compare } = path.runtime.stats().routes['all']!
  return { mismatched: counters.mismatched, dirty: compare.skipped.dirty, rechecking: compare.rechecking }
}

describe('what a script wrote and the primary has not told', () => {
  test('is no mismatch, and what was planted beside it is one', async () => {
    const app = await toldLate()
    await app.get('made:k')
    await app.get('planted')
    // The last step of the look at a key as a whole, behind all the others.
    await eventually(async () => expect(await calls(fresh, 'getrange')).toBe(2))
    replies.release()
    await eventually(() => expect(compared()).toEqual({ mismatched: 1, dirty: 1, rechecking: 0 }))
    const found = path.notices.flatMap((notice) => (notice.kind === 'finding' ? [`${notice.finding.key}`] : []))
    expect(found).toEqual(['planted'])
    await settled(path)
    expect(await fresh.client().get('made:k')).toBe('later')
  })

  test('is no difference to a verify either', async () => {
    await toldLate()
    const read = (key: string) =>
      path.runtime.jobs.readPairs(0, [{ key: Buffer.from(key), reads: [{ before: ['GET'], after: [] }] }])
    const made = read('made:k')
    const planted = read('planted')
    expect(await Promise.race([made, planted, sleep(100, 'waits')])).toBe('waits')
    replies.release()
    expect(await made).toEqual([{ ok: false, reason: WAITS_FOR_COPY }])
    expect(await planted).toMatchObject([{ ok: true }])
  })

  test('of another database explains nothing: a key of the same name that differs is found', async () => {
    replies = await holdReplies(old.port)
    path = await startDataPath({
      stores: { old: { port: replies.port, timeoutMs: 60_000 }, new: fresh },
      routes: [{ source: 'old', target: 'new', phase: 'shadow', compare: { sample: 1 } }],
    })
    const app = path.client()
    await app.set('made:k', 'a')
    await app.select(1)
    await app.eval(SCRIPT, 0, 'k', 'first')
    await settled(path)
    await fresh.client().set('made:k', 'b')
    replies.hold((sent) => sent.includes('BCAST'))
    await app.eval(SCRIPT, 0, 'k', 'later')
    await app.select(0)
    await app.get('made:k')
    await eventually(async () => expect(await calls(fresh, 'getrange')).toBeGreaterThan(0))
    const read = path.runtime.jobs.readPairs(0, [
      { key: Buffer.from('made:k'), reads: [{ before: ['GET'], after: [] }] },
    ])
    replies.release()
    expect(await read).toMatchObject([{ ok: true }])
    await eventually(() => expect(compared()).toEqual({ mismatched: 1, dirty: 0, rechecking: 0 }))
  })
})
