import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { configFromUrls } from '../../src/config/file/load.ts'
import { readRecords } from '../../src/jobs/files/record-files.ts'
import type { KeyRecord } from '../../src/jobs/files/values.ts'
import type { Task } from '../../src/jobs/runner/task.ts'
import { scan, scanned } from '../../src/jobs/scan/scan.ts'
import type { Page, ScanPosition } from '../../src/jobs/scan/scan-position.ts'
import { StoreConnections } from '../../src/jobs/stores/store-connection.ts'
import { eventually } from '../support/eventually.ts'
import { doJob, jobOf, keysOf, over, startJob, steer } from '../support/jobs.ts'
import { type Migration, mirrorSettled, startMigration } from '../support/migration.ts'
import type { RedisServer } from '../support/redis.ts'
import { endedAfterEach } from '../support/running.ts'

const { running, redis } = endedAfterEach()

/** In each of the two databases. */
const KEYS = 200

async function fill(server: RedisServer, value = 'v'): Promise<void> {
  for (const db of [0, 5]) {
    const pipeline = server.client({ db }).pipeline()
    for (let i = 0; i < KEYS; i++) pipeline.set(`${db}:${i}`, db === 5 ? value : 'v')
    await pipeline.exec()
  }
}

/** The job has looked at all of database 0 and not at all of the other. */
async function halfWay({ understudy }: Migration, id: number, count: 'copied' | 'compared'): Promise<void> {
  const { progress } = await eventually(
    async () => {
      const job = await jobOf(understudy, id)
      expect(job.progress[count]).toBeGreaterThanOrEqual(KEYS)
      return job
    },
    { intervalMs: 10 },
  )
  expect(progress[count]).toBeLessThan(2 * KEYS)
}

for (const pauses of [true, false])
  test(`keys that a swap takes from a database that a backfill has still to list are copied${pauses ? ', also when it was paused then' : ''}`, async () => {
    const migration = await startMigration(undefined, fill)
    running.push(migration)
    const { target, understudy } = migration
    const { id } = await startJob(understudy, 'backfill', 'all', { rate: KEYS })
    await halfWay(migration, id, 'copied')
    if (pauses) await steer(understudy, id, 'pause')
    await understudy.client().swapdb(0, 5)
    if (pauses) {
      await eventually(async () => expect((await jobOf(understudy, id)).state).toBe('paused'))
      await steer(understudy, id, 'resume')
    }
    const { report } = await over(understudy, id)
    expect(report!.clean).toBe(true)
    expect(report!.notes.join()).toMatch(/swapped \(SWAPDB\).*listed once more/)
    await mirrorSettled(understudy)
    for (const db of [0, 5]) expect(await target.client({ db }).dbsize()).toBe(KEYS)
  })

test('a verify finds what a swap takes from a database that it has still to list', async () => {
  const migration = await startMigration(undefined, fill)
  running.push(migration)
  const { target, understudy } = migration
  await fill(target, 'another')
  const { id } = await startJob(understudy, 'verify', 'all', { rate: KEYS })
  await halfWay(migration, id, 'compared')
  await understudy.client().swapdb(0, 5)
  const { report } = await over(understudy, id)
  expect(report!.clean).toBe(false)
  expect(Object.values(report!.classes).reduce((sum, keys) => sum + keys, 0)).toBe(KEYS)
})

test.each(['forward', 'reverse'] as const)(
  'a verify lists keys where they are, not where they were before a swap (in its %s pass)',
  async (pass) => {
    const migration = await startMigration(undefined, fill)
    running.push(migration)
    const { target, understudy } = migration
    await fill(target)
    await target.client().set('0:7', 'another')
    const { id } = await startJob(understudy, 'verify', 'all', { rate: KEYS })
    await eventually(
      async () => {
        const { done, different } = (await jobOf(understudy, id)).progress
        expect(different).toBe(1)
        if (pass === 'reverse') expect(done).toBeGreaterThan(2 * KEYS)
      },
      { intervalMs: 10 },
    )
    await understudy.client().swapdb(0, 5)
    const { report, progress } = await over(understudy, id)
    expect(report!.summary).toBe(`${2 * KEYS} keys compared, 1 differs.`)
    expect(progress).toMatchObject({ done: 4 * KEYS, total: 4 * KEYS })
    expect(await keysOf(understudy, id)).toMatchObject([{ database: 5, key: '0:7', class: 'value' }])
    expect((await doJob(understudy, 'repair', 'all')).progress.repaired).toBe(1)
    expect(await target.client({ db: 5 }).get('0:7')).toBe('v')
  },
)

/** What a file says of keys, in order: database and key. */
async function readBack(path: string, format: 'jsonl' | 'leveldb'): Promise<string[]> {
  const keys: string[] = []
  for await (const { record } of readRecords({ path, format, namespace: '' }, null, new AbortController().signal)) {
    const { database, key } = record as KeyRecord
    keys.push(`${database} ${String(key)}`)
  }
  return keys.sort()
}

test.each([
  ['jsonl', false],
  ['jsonl', true],
  ['leveldb', false],
] as const)(
  'a swap during an export (%s, paused then: %s) leaves nothing in the file of what was listed before',
  async (format, pauses) => {
    const directory = mkdtempSync(join(tmpdir(), 'understudy-swapped-'))
    running.push({ stop: () => rmSync(directory, { recursive: true }) })
    const migration = await startMigration(undefined, fill)
    running.push(migration)
    const { understudy } = migration
    const file = join(directory, 'keys')
    const { id } = await startJob(understudy, 'export', 'all', { file, format, rate: KEYS })
    await halfWay(migration, id, 'copied')
    if (pauses) await steer(understudy, id, 'pause')
    await understudy.client().swapdb(0, 5)
    if (pauses) await steer(understudy, id, 'resume')
    // LevelDB holds database 0 only.
    const failed = format === 'jsonl' ? 0 : KEYS
    const copied = 2 * KEYS - failed
    const job = await over(understudy, id)
    expect(job).toMatchObject({ state: 'done', progress: { copied, failed, done: 2 * KEYS, total: 2 * KEYS } })
    expect((await keysOf(understudy, id)).length).toBe(failed)
    const numbers = Array.from({ length: KEYS }, (_, i) => i)
    const held = [...numbers.map((i) => `0 5:${i}`), ...(failed > 0 ? [] : numbers.map((i) => `5 0:${i}`))]
    expect(await readBack(file, format)).toEqual(held.sort())
  },
)

/** What `scan` needs to list a server by itself, without a job. */
function listingOf(server: RedisServer) {
  const { config } = configFromUrls({ env: {}, source: server.url, phase: 'passthrough' })
  const [store] = Object.keys(config.stores)
  const connections = new StoreConnections(
    () => config,
    () => ({ kind: 'tcp', host: server.host, port: server.port }),
  )
  running.push({ stop: () => connections.close() })
  return { config, store: store!, connections }
}

test('what has been listed is listed no more, and an older version, which knows cursors only, lists its last database again', async () => {
  const server = await redis()
  const { config, store, connections } = listingOf(server)
  for (const db of [0, 5]) await server.client({ db }).set('k', 'v')
  const task = { job: { options: {} }, total: 2, done: 0 } as unknown as Task
  const listed = async (from: ScanPosition | null): Promise<Page[]> => {
    const pages: Page[] = []
    for await (const page of scan(task, connections, config, store, from)) pages.push(page)
    return pages
  }
  const { next } = (await listed(null)).at(-1)!
  expect(next).toMatchObject({ database: 5, cursor: '0' })
  expect(await listed(next)).toEqual([])
  const { isListed: _, ...older } = next!
  expect((await listed(older)).map(({ database }) => database)).toEqual([5])
})

test('a store whose databases are swapped all the time cannot be listed', async () => {
  const server = await redis()
  const { config, store, connections } = listingOf(server)
  await server.client().set('k', 'v')
  const task = { job: { options: {} }, total: 1, done: 0, remark() {} } as unknown as Task
  const seen: number[] = []
  const listed = scanned(task, connections, config, store, null, async (pages) => {
    for await (const { names, database } of pages) if (names.length > 0) seen.push(database)
    await server.client().swapdb(0, 5)
  })
  await expect(listed).rejects.toMatchObject({ code: 'JOB_REFUSED' })
  expect(seen.slice(0, 4)).toEqual([0, 5, 0, 5])
})
