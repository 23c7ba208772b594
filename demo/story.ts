import type { Redis } from 'ioredis'
import type { Status } from '../src/admin/status.ts'
import type { Phase } from '../src/config/config.ts'
import type { Job, JobKind, JobOptions } from '../src/jobs/runner/job.ts'
import { eventually } from '../test/support/eventually.ts'
import { driftBetween } from '../test/support/keyspace.ts'
import { type RedisServer, startRedis } from '../test/support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../test/support/understudy.ts'
import { phaseRow, TABLE_HEADER } from './phase-table.ts'
import { Workload } from './workload.ts'

/**
 * One key schema becomes another on one live Redis, while an application works on it; by the configuration file alone.
 */
const CONFIG = (redis: RedisServer): string => `
stores:
  redis: { url: "${redis.url}" }
routes:
  - name: jobs
    keys: ["job:{id}", "job:{id}:progress", "jobs:pending", "worker:{id}:jobs"]
    source: { store: redis }
    target:
      store: redis # the same server
      keys:
        "job:{id}": "step:{id}"
        "job:{id}:progress": "step:{id}:progress"
        "jobs:pending": "steps:pending"
        "worker:{id}:jobs": "worker:{id}:steps"
      channels: { job_events: step_events }
    phase: passthrough # the one line
    compare: { sample: 100% }
  - name: everything-else
    keys: ["*"]
    source: redis
`

const FORTH: readonly Phase[] = ['passthrough', 'mirror', 'shadow', 'read-target', 'switched', 'done']
const WITH_ROLLBACK: readonly Phase[] = [...FORTH.slice(0, 5), 'shadow', 'switched', 'done']

export interface StoryOptions {
  /** Switched, back to shadow, and switched again. */
  readonly rollback: boolean
  /** Jobs that are done in each phase before the next. */
  readonly jobsPerPhase: number
  /** Jobs that are there before Understudy comes. */
  readonly oldJobs: number
  readonly print: (line: string) => void
}

/** What there is to be said at the end. Everything that must be nothing is a number of its own. */
export interface StoryResult {
  readonly jobs: number
  readonly commands: number
  readonly errors: readonly string[]
  readonly reconnects: number
  /** Jobs that were done twice, or never. */
  readonly doneTwice: number
  readonly neverDone: number
  /** Events that the application's own subscriber did not get exactly once. */
  readonly eventsOff: number
  /** The same for a consumer that listens to the new channel at the Redis itself, since mirroring began. */
  readonly newEventsOff: number
  /** Names of the other side, or none of the application's, that the application's SCAN gave. */
  readonly foreignKeys: number
  /** Keys that differ between the old and the new names, before `done`. */
  readonly drift: number
  /** Keys under the old names after the cleanup. */
  readonly oldNamesLeft: number
  /** Writes under the old names after `done`. */
  readonly oldNamesWritten: number
  readonly mismatches: number
}

export async function tell(options: StoryOptions): Promise<StoryResult> {
  const redis = await startRedis()
  let understudy: UnderstudyProcess | null = null
  try {
    await fill(redis, options.oldJobs)
    understudy = await startUnderstudy(CONFIG(redis))
    return await migrate(redis, understudy, options)
  } finally {
    await understudy?.stop()
    await redis.stop()
  }
}

async function fill(redis: RedisServer, oldJobs: number): Promise<void> {
  const pipeline = redis.client().pipeline()
  for (let i = 1; i <= oldJobs; i++) {
    pipeline.hset(`job:old-${i}`, { name: `old job number ${i}`, state: 'archived' })
    pipeline.set(`job:old-${i}:progress`, 3)
  }
  await pipeline.exec()
}

async function migrate(redis: RedisServer, understudy: UnderstudyProcess, options: StoryOptions): Promise<StoryResult> {
  const { print } = options
  const workload = new Workload(() => understudy.client())
  const fresh = await listen(redis.client(), 'step_events')
  print(`${options.oldJobs} old jobs; 3 producers, 4 workers and a subscriber begin to work through Understudy`)
  print('')
  print(TABLE_HEADER)
  await workload.start()
  const foreign: string[] = []
  let publishedBefore = 0
  let [drift, newEventsOff, eventsOff] = [-1, -1, -1]
  for (const [i, phase] of (options.rollback ? WITH_ROLLBACK : FORTH).entries()) {
    if (phase === 'done') {
      await workload.finish()
      drift = await driftOf(redis, understudy)
      newEventsOff = await offFrom(workload.published.slice(publishedBefore), fresh)
      eventsOff = await offFrom(workload.published, workload.received)
    }
    const before = { jobs: workload.completed, commands: workload.commands, ms: performance.now() }
    const pause = await enter(understudy, phase)
    // What is published while the phase changes is still of the one before, or already of this.
    if (phase === 'mirror') publishedBefore = workload.published.length
    const copied = phase === 'mirror' ? (await job(understudy, 'backfill', {})).progress.copied : null
    if (phase === 'done') break
    await eventually(
      () => {
        if (workload.completed < before.jobs + options.jobsPerPhase) throw new Error('the workload stands still')
      },
      { timeoutMs: 60_000 },
    )
    foreign.push(...(await foreignKeys(understudy)))
    const name = phase === 'shadow' && i > 2 ? 'shadow (rollback)' : phase
    print(phaseRow(name, await statusOf(understudy), workload, before, pause, copied))
  }
  const { deleted } = (await job(understudy, 'cleanup', { dryRun: false })).progress
  const oldNamesLeft = await oldNames(redis)
  print(`${'cleanup'.padEnd(17)} ${deleted} keys under old names deleted`)
  const after = await afterDone(redis, understudy, options)
  const counts = [...workload.finished.values()]
  return {
    jobs: workload.completed,
    commands: workload.commands,
    errors: workload.errors,
    reconnects: workload.reconnects,
    doneTwice: counts.filter((count) => count > 1).length,
    neverDone: workload.created - workload.completed,
    eventsOff,
    newEventsOff,
    foreignKeys: foreign.length,
    drift,
    oldNamesLeft,
    oldNamesWritten: after,
    mismatches: (await statusOf(understudy)).routes['jobs']!.compare.mismatched,
  }
}

/** Edits the one line, and waits until it is in force. Gives how long commands were held, in ms; null: they were not. */
async function enter(understudy: UnderstudyProcess, phase: Phase): Promise<number | null> {
  const before = await pauses(understudy)
  understudy.edit((text) => text.replace(/phase: [\w-]+ # the one line/, `phase: ${phase} # the one line`))
  await eventually(
    async () => {
      const now = (await statusOf(understudy)).routes['jobs']!.phase
      if (now !== phase) throw new Error(`the phase is ${now}`)
    },
    { timeoutMs: 20_000 },
  )
  const after = await pauses(understudy)
  return after.count > before.count ? (after.sum - before.sum) * 1000 : null
}

async function pauses(understudy: UnderstudyProcess): Promise<{ count: number; sum: number }> {
  const text = await understudy.metrics()
  const number = (what: string): number =>
    Number(new RegExp(`understudy_cutover_pause_seconds_${what}\\{route="jobs"\\} (\\S+)`).exec(text)?.[1] ?? 0)
  return { count: number('count'), sum: number('sum') }
}

async function job(understudy: UnderstudyProcess, kind: JobKind, options: JobOptions): Promise<Job> {
  const started = await understudy.admin<Job>('/api/v1/jobs', {
    method: 'POST',
    body: JSON.stringify({ kind, route: 'jobs', options }),
  })
  if (started.status !== 201) throw new Error(`${kind}: ${JSON.stringify(started.body)}`)
  const ended = await eventually(
    async () => {
      const { body } = await understudy.admin<Job>(`/api/v1/jobs/${started.body.id}`)
      if (body.state !== 'done' && body.state !== 'failed') throw new Error('it is under way')
      return body
    },
    { timeoutMs: 30_000 },
  )
  if (ended.state !== 'done') throw new Error(`${kind}: ${ended.error}`)
  return ended
}

/** How many there are; those that are about to expire are waited for. */
async function oldNames(redis: RedisServer): Promise<number> {
  let left = -1
  const client = redis.client()
  await eventually(async () => {
    left = (await client.keys('*')).filter((key) => toNew(key) !== key).length
    if (left > 0) throw new Error(`${left} are left`)
  }).catch(() => {})
  return left
}

/** What the application sees and should not: the new names, or a key twice. */
async function foreignKeys(understudy: UnderstudyProcess): Promise<string[]> {
  const app = understudy.client()
  const seen: string[] = []
  let cursor = '0'
  do {
    const [next, keys] = await app.scan(cursor, 'COUNT', 100)
    cursor = next
    seen.push(...keys)
  } while (cursor !== '0')
  seen.push(...(await app.keys('step*')), ...(await app.keys('worker:*:steps')))
  app.disconnect()
  return seen.filter((key) => !/^(job:.*|jobs:pending|worker:\d+:jobs|ids)$/.test(key))
}

/** Keys that are not the same under both names. What expires between two looks is looked at again. */
async function driftOf(redis: RedisServer, understudy: UnderstudyProcess): Promise<number> {
  let drift = -1
  await eventually(async () => {
    const { mirror } = (await statusOf(understudy)).routes['jobs']!
    if (mirror.backlog > 0 || mirror.dirtyKeys > 0) throw new Error('writes are under way')
    const found = await driftBetween(redis, redis, {
      toShadow: toNew,
      onPrimary: (key) => toNew(key) !== key,
      onShadow: (key) => /^(step:|steps:)|:steps$/.test(key),
      ttlSlackMs: 100,
    })
    drift = found.length
    if (drift > 0) throw new Error(`${drift} keys differ`)
  }).catch(() => {})
  return drift
}

function toNew(key: string): string {
  return key
    .replace(/^job:/, 'step:')
    .replace(/^jobs:pending$/, 'steps:pending')
    .replace(/^(worker:.*):jobs$/, '$1:steps')
}

/** The application goes on; under the old names nothing changes any more. */
async function afterDone(
  redis: RedisServer,
  understudy: UnderstudyProcess,
  { jobsPerPhase, print }: StoryOptions,
): Promise<number> {
  const watcher = redis.client()
  await watcher.config('SET', 'notify-keyspace-events', 'K$shz')
  const touched: string[] = []
  watcher.on('pmessage', (_pattern, channel: string) => touched.push(channel))
  await watcher.psubscribe('__keyspace@0__:job*', '__keyspace@0__:worker:*:jobs')
  const more = new Workload(() => understudy.client())
  await more.start()
  await eventually(
    () => {
      if (more.completed < jobsPerPhase) throw new Error('the workload stands still')
    },
    { timeoutMs: 60_000 },
  )
  await more.finish()
  print(`${'done'.padEnd(17)} ${String(more.completed).padStart(5)}`)
  return touched.length + more.errors.length
}

async function listen(redis: Redis, channel: string): Promise<string[]> {
  const heard: string[] = []
  redis.on('message', (_channel, event: string) => heard.push(event))
  await redis.subscribe(channel)
  return heard
}

/** How many of these events, each of its own text, did not come exactly once. What is still under way is waited for. */
async function offFrom(expected: readonly string[], heard: readonly string[]): Promise<number> {
  const off = (): number => {
    const counts = new Map<string, number>()
    for (const event of heard) counts.set(event, (counts.get(event) ?? 0) + 1)
    return expected.filter((event) => counts.get(event) !== 1).length
  }
  await eventually(
    () => {
      if (off() > 0) throw new Error('events are under way')
    },
    { timeoutMs: 5_000 },
  ).catch(() => {})
  return off()
}

async function statusOf(understudy: UnderstudyProcess): Promise<Status> {
  return (await understudy.admin<Status>('/api/v1/status')).body
}
