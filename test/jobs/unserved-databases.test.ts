import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { doJob, keysOf } from '../support/jobs.ts'
import { mirroredRoute } from '../support/migration.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

let source: RedisServer
let target: RedisServer
let understudy: UnderstudyProcess
let directory: string
/** One application in database 2 of the source moves to database 5 of the target; another one lives in database 5 of the source. */
beforeEach(async () => {
  ;[source, target] = await Promise.all([startRedis(), startRedis()])
  directory = mkdtempSync(join(tmpdir(), 'understudy-unserved-'))
  await source.client({ db: 2 }).mset('user:1', 'ours', 'only-ours', 1)
  await source.client({ db: 5 }).mset('user:1', 'theirs', 'only-theirs', 1)
  const stores = { old: { url: `${source.url}/2` }, new: { url: `${target.url}/5` } }
  understudy = await startUnderstudy({ stores, routes: [mirroredRoute()] })
})
afterEach(async () => {
  await understudy.stop()
  await Promise.all([source.stop(), target.stop()])
  rmSync(directory, { recursive: true, force: true })
})

const LEFT_OUT = /^Database 5 of store 'old' holds keys, and was left out: .*'old' 2, 'new' 5/

test('what another application has in a database that the target has in its URL is neither copied nor deleted, and that is said', async () => {
  expect(understudy.stdout).toMatch(/warn.*keys in database 2 and database 5 of a client are not served/)
  const backfill = await doJob(understudy, 'backfill', 'all')
  expect(backfill).toMatchObject({ progress: { copied: 2, done: 2, total: 2 }, report: { clean: true } })
  expect(backfill.report!.notes).toContainEqual(expect.stringMatching(LEFT_OUT))
  expect(await target.client({ db: 5 }).mget('user:1', 'only-theirs')).toEqual(['ours', null])
  const verify = await doJob(understudy, 'verify', 'all')
  expect(verify).toMatchObject({ progress: { compared: 2, different: 0 }, report: { clean: true } })
  expect(verify.report!.notes).toContainEqual(expect.stringMatching(LEFT_OUT))
  const init = { method: 'PUT', body: JSON.stringify({ phase: 'switched' }) }
  expect(await understudy.admin('/api/v1/routes/all/phase', init)).toMatchObject({ status: 200 })
  const cleanup = await doJob(understudy, 'cleanup', 'all', { dryRun: false })
  expect(cleanup).toMatchObject({ progress: { deleted: 2 }, report: { clean: true } })
  expect(cleanup.report!.notes).toContainEqual(expect.stringMatching(LEFT_OUT))
  expect(await source.client({ db: 2 }).dbsize()).toBe(0)
  expect(await source.client({ db: 5 }).mget('user:1', 'only-theirs')).toEqual(['theirs', '1'])
})

test('a file neither gets keys of such a database nor brings any there', async () => {
  const out = join(directory, 'out.jsonl')
  expect(await doJob(understudy, 'export', 'all', { file: out })).toMatchObject({ progress: { copied: 2 } })
  expect(readFileSync(out, 'utf8')).not.toContain('theirs')
  const file = join(directory, 'in.jsonl')
  const lines = [2, 5, 7].map((database) => JSON.stringify({ key: 'brought', value: 'x', database }))
  writeFileSync(file, lines.join('\n'))
  const job = await doJob(understudy, 'import', 'all', { file })
  expect(job).toMatchObject({ progress: { copied: 1, failed: 2 }, report: { clean: false } })
  expect((await keysOf(understudy, job.id)).map(({ database, detail }) => [database, detail])).toEqual(
    [2, 5].map((database) => [
      database,
      expect.stringMatching(new RegExp(`refuses database ${database} \\(ERR Understudy does not serve`)),
    ]),
  )
  expect(await source.client({ db: 5 }).exists('brought')).toBe(0)
  expect(await target.client({ db: 7 }).get('brought')).toBe('x')
})
