import { Queue, Worker } from 'bullmq'
import { afterEach, expect, test } from 'vitest'
import type { PhaseResult } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { runCli } from '../cli/run-cli.ts'
import { eventually } from '../support/eventually.ts'
import { doJob } from '../support/jobs.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

/** BullMQ's scripts make names of keys from an argument that holds its prefix: nobody can rename those. It must not go wrong in silence. */
const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function start(route: string): Promise<UnderstudyProcess> {
  const redis = await startRedis()
  running.push(redis)
  const understudy = await startUnderstudy(`
stores:
  redis: { url: "${redis.url}" }
routes:
  - ${route}
  - { name: rest, keys: ["*"], source: redis }
`)
  running.push(understudy)
  return understudy
}

function queueOf(understudy: UnderstudyProcess): Queue {
  const connection = { host: '127.0.0.1', port: understudy.port, maxRetriesPerRequest: null }
  const queue = new Queue('work', { connection })
  queue.on('error', () => {})
  running.push({ stop: () => queue.close() })
  return queue
}

async function work(understudy: UnderstudyProcess, queue: Queue, jobs: number): Promise<void> {
  const done = new Set<string>()
  const worker = new Worker('work', async (job) => void done.add(job.id!), { connection: queue.opts.connection })
  try {
    await queue.addBulk(Array.from({ length: jobs }, (_, i) => ({ name: 'plain', data: { i } })))
    await eventually(() => expect(done.size).toBe(jobs))
    await eventually(async () =>
      expect(await queue.getJobCounts('active', 'waiting')).toEqual({ active: 0, waiting: 0 }),
    )
  } finally {
    await worker.close()
  }
  expect((await understudy.admin<Status>('/api/v1/status')).body.routes['queues']!.phase).toBe('shadow')
}

test('a change of prefix goes as far as shadow, and the switch is refused with the reason', async () => {
  const understudy = await start(
    '{ name: queues, keys: ["bull:*"], source: redis, target: { store: redis, keys: { "bull:*": "jobs:*" } }, phase: shadow }',
  )
  const queue = queueOf(understudy)
  await work(understudy, queue, 20)
  // All that is there gets its new name; and what the scripts do next does not.
  await doJob(understudy, 'backfill', 'queues')
  await doJob(understudy, 'verify', 'queues')
  const init = { method: 'PUT', body: JSON.stringify({ phase: 'switched' }) }
  const { body } = await understudy.admin<PhaseResult & { error: { message: string } }>(
    '/api/v1/routes/queues/phase',
    init,
  )
  expect(body.error.message).toMatch(
    /the application runs scripts or functions that make names of keys themselves \(\d+ seen, SHA-1 [0-9a-f]{40}/,
  )
  expect((await runCli(['status', '--admin', understudy.adminUrl])).stdout).toMatch(
    /queues: scripts or functions that make names of keys themselves: \d/,
  )
  await work(understudy, queue, 5)
}, 180_000)

test('under a prefix for all its keys it is told that this cannot be', async () => {
  const understudy = await start(
    '{ name: queues, keys: ["bull:*"], source: { store: redis, keys: { "bull:*": "app1:bull:*" } } }',
  )
  await expect(queueOf(understudy).add('plain', {})).rejects.toThrow('ERR Understudy refuses this script')
}, 180_000)
