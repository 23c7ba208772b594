import { FlowProducer, Queue, QueueEvents, Worker } from 'bullmq'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { settled } from '../support/settled.ts'
import { PHASES, type Setting, startSetting } from './setting.ts'

describe.each(PHASES)('bullmq in %s', (phase) => {
  let setting: Setting
  beforeAll(async () => {
    setting = await startSetting(phase)
  })
  afterAll(async () => {
    await setting.stop()
  })

  test('queues, several workers, retries, delayed and repeated jobs, priorities, events', async () => {
    const connection = { host: setting.host, port: setting.port, maxRetriesPerRequest: null }
    const queue = new Queue('work', { connection })
    const events = new QueueEvents('work', { connection })
    const done: string[] = []
    const completed: string[] = []
    events.on('completed', ({ jobId }) => completed.push(jobId))
    const failures = new Set<string>()
    const workers = [1, 2].map(
      () =>
        new Worker(
          'work',
          async (job) => {
            if (job.name === 'flaky' && !failures.has(job.id!)) {
              failures.add(job.id!)
              throw new Error('once')
            }
            await job.updateProgress(50)
            done.push(job.name)
            return job.name
          },
          { connection, concurrency: 4 },
        ),
    )
    try {
      await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), ...workers.map((w) => w.waitUntilReady())])
      await queue.addBulk(
        Array.from({ length: 40 }, (_, i) => ({ name: 'plain', data: { i }, opts: { priority: i % 3 } })),
      )
      await queue.add('delayed', {}, { delay: 150 })
      await queue.add('flaky', {}, { attempts: 2, backoff: { type: 'fixed', delay: 20 } })
      await queue.upsertJobScheduler('every', { every: 100, limit: 3 }, { name: 'repeated' })
      await eventually(() => {
        const count = (name: string) => done.filter((one) => one === name).length
        expect(count('plain')).toBe(40)
        expect(count('delayed')).toBe(1)
        expect(count('flaky')).toBe(1)
        expect(count('repeated')).toBeGreaterThanOrEqual(2)
      })
      await queue.removeJobScheduler('every')
      await eventually(async () => {
        const counts = await queue.getJobCounts('waiting', 'active', 'delayed', 'prioritized')
        expect(counts).toEqual({ waiting: 0, active: 0, delayed: 0, prioritized: 0 })
      })
      await eventually(() => expect(completed.length).toBeGreaterThanOrEqual(42))
      // What a key holds that is about to be copied is not compared, and on a busy machine that may be every job.
      await settled(setting.path)
      expect((await queue.getJobs(['completed'])).length).toBeGreaterThanOrEqual(42)
    } finally {
      await Promise.all([...workers.map((worker) => worker.close()), queue.close(), events.close()])
    }
    await setting.verify()
  })

  test('flows: a parent runs after its children', async () => {
    const connection = { host: setting.host, port: setting.port, maxRetriesPerRequest: null }
    const order: string[] = []
    const worker = new Worker(
      'flow',
      async (job) => {
        order.push(job.name)
        return job.name
      },
      { connection },
    )
    const flows = new FlowProducer({ connection })
    try {
      const { job } = await flows.add({
        name: 'parent',
        queueName: 'flow',
        children: ['one', 'two', 'three'].map((name) => ({ name, queueName: 'flow', data: {} })),
      })
      await eventually(() => expect(order).toHaveLength(4))
      expect(order.at(-1)).toBe('parent')
      await settled(setting.path)
      expect((await flows.getFlow({ id: job.id!, queueName: 'flow' })).children).toHaveLength(3)
    } finally {
      await Promise.all([worker.close(), flows.close()])
    }
    await setting.verify()
  })
})
