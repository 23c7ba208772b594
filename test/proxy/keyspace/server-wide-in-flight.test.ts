import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../../src/config/config.ts'
import type { ApplyResult } from '../../../src/proxy/messages.ts'
import { type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type HeldReplies, holdReplies } from '../../support/held-replies.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

/** What changes every key of a store is in flight at the primary while one of its routes is switched. */
let old: RedisServer
let fresh: RedisServer
let other: RedisServer
let replies: HeldReplies
let path: DataPathUnderTest

const options = (ren: Phase, elsewhere: Phase = 'passthrough'): DataPathOptions => ({
  stores: { old: { port: replies.port }, new: fresh, other },
  routes: [
    { name: 'all', source: 'old', target: 'new', phase: 'mirror' },
    { name: 'ren', keys: ['r:*'], source: 'old', target: { store: 'new', keys: { 'r:*': 'n:*' } }, phase: ren },
    {
      name: 'elsewhere',
      keys: ['e:*'],
      source: 'other',
      target: { store: 'other', keys: { 'e:*': 'f:*' } },
      phase: elsewhere,
    },
  ],
})
const switching = (next: DataPathOptions, holdTimeoutMs: number): Promise<ApplyResult> =>
  path.runtime.apply({ ...path.change(next), holdTimeoutMs })
const hasOf = async (key: string): Promise<number> => old.client().exists(key)

beforeEach(async () => {
  ;[old, fresh, other] = [await startRedis(), await startRedis(), await startRedis()]
  replies = await holdReplies(old.port)
  path = await startDataPath(options('mirror'))
})
afterEach(async () => {
  await path.stop()
  await replies.stop()
  await Promise.all([old.stop(), fresh.stop(), other.stop()])
})

describe.each([
  ['FLUSHDB', [['FLUSHDB']]],
  ['FLUSHALL', [['FLUSHALL']]],
  ['SWAPDB', [['SWAPDB', '0', '1']]],
  ['FLUSHDB inside MULTI', [['MULTI'], ['FLUSHDB'], ['EXEC']]],
])('%s', (_, commands) => {
  async function leaves(): Promise<void> {
    const app = await path.raw()
    await app.ask('SET', 'r:old', '1')
    await settled(path)
    replies.hold((sent) => sent.includes(commands[0]![0]!))
    for (const words of commands) app.command(...words)
    await eventually(async () => expect(await hasOf('r:old')).toBe(0))
  }

  test('is waited for by the switch of any route there', async () => {
    await leaves()
    const refused = await switching(options('switched'), 20)
    expect(refused).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/commands of route 'ren' are still in flight/),
    })
    const switched = switching(options('switched'), 30_000)
    replies.release()
    expect(await switched).toMatchObject({ ok: true })
    const app = path.client()
    await app.set('r:new', '1')
    await settled(path)
    for (const key of ['r:old', 'r:new']) expect(await app.exists(key)).toBe(key === 'r:new' ? 1 : 0)
  })

  test('keeps no route of another store waiting', async () => {
    await leaves()
    expect(await switching(options('mirror', 'mirror'), 20)).toMatchObject({ ok: true })
    replies.release()
    await settled(path)
  })
})
