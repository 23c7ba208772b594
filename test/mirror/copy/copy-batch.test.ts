import { afterEach, expect, test } from 'vitest'
import type { Config } from '../../../src/config/config.ts'
import { MOVED } from '../../../src/mirror/copy/copied-key.ts'
import { COPIED } from '../../../src/mirror/copy/copy-batch.ts'
import { changeBetween } from '../../support/change.ts'
import { copyAsJob } from '../../support/copy-as-job.ts'
import { startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { holdReplies } from '../../support/held-replies.ts'
import { startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const inSwitched = (config: Config, name: string): Config => ({
  ...config,
  routes: config.routes.map((route) => (route.name === name ? { ...route, phase: 'switched' } : route)),
})

const KEYS = 3_000
const NAMES = Array.from({ length: KEYS }, (_, i) => `job:${i}`)

test.each(['new', 'old'])(
  'a forced switch ends what a job has copied: keys that were not yet are not deleted for that (target: store %s)',
  async (store) => {
    const [old, fresh] = [await startRedis(), await startRedis()]
    const path = await startDataPath({
      stores: { old, new: fresh },
      routes: [
        {
          name: 'jobs',
          keys: ['job:{id}'],
          source: 'old',
          target: { store, keys: { 'job:{id}': 'step:{id}' } },
          phase: 'mirror',
        },
        { name: 'rest', source: 'old' },
      ],
    })
    running.push(old, fresh, path)
    const direct = old.client()
    await direct.mset(NAMES.flatMap((name) => [name, 'v']))
    // The shadow is connected when it has this: a copy that comes before ends.
    await path.client().set('job:up', 'v')
    await settled(path)
    const copying = copyAsJob(path, 'jobs', NAMES)
    const target = store === 'new' ? fresh.client() : direct
    await eventually(async () => expect(await target.exists('step:0')).toBe(1), { intervalMs: 0 })
    const change = changeBetween(path.config, inSwitched(path.config, 'jobs'), 1)
    expect(await path.runtime.apply({ ...change, holdTimeoutMs: 50, force: true })).toMatchObject({ ok: true })
    const { outcomes, reasons } = await copying
    const copied = outcomes.filter((outcome) => outcome === COPIED).length
    expect(copied).toBeLessThan(KEYS)
    expect(new Set(reasons.map(([, reason]) => reason))).toEqual(new Set([MOVED]))
    // Nor does what a job asks for that has not heard of it.
    expect((await copyAsJob(path, 'jobs', NAMES.slice(-2))).reasons).toEqual([
      [0, MOVED],
      [1, MOVED],
    ])
    await settled(path)
    expect(await direct.exists(...NAMES)).toBe(KEYS)
  },
)

test('a copy that a switch has overtaken sends nothing more', async () => {
  const server = await startRedis()
  const replies = await holdReplies(server.port)
  const path = await startDataPath({
    stores: { only: { port: replies.port } },
    routes: [
      {
        name: 'jobs',
        keys: ['job:{id}'],
        source: 'only',
        target: { store: 'only', keys: { 'job:{id}': 'step:{id}' } },
        phase: 'mirror',
      },
      { name: 'rest', source: 'only' },
    ],
  })
  running.push(server, replies, path)
  const app = path.client()
  await app.set('job:1', 'v')
  // The busiest connection is asked how large a key is.
  const other = await path.raw()
  await other.ask('HELLO', 3)
  await other.ask('SET', 'marker', 'x'.repeat(300_000))
  await settled(path)
  replies.hold((sent) => sent.includes('marker'))
  const copying = copyAsJob(path, 'jobs', ['job:1'])
  const stats = async () => server.client().info('commandstats')
  await eventually(async () => expect(await stats()).toContain('cmdstat_memory'))
  expect(await path.runtime.apply(changeBetween(path.config, inSwitched(path.config, 'jobs'), 1))).toMatchObject({
    ok: true,
  })
  replies.release()
  expect((await copying).reasons).toEqual([[0, MOVED]])
  expect(await stats()).not.toMatch(/cmdstat_(copy|dump|restore)/)
})
