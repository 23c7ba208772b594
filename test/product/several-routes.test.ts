import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import type { Phase } from '../../src/config/config.ts'
import { runCli } from '../cli/run-cli.ts'
import { doJob } from '../support/jobs.ts'
import { fillStrings, type Migration, mirroredRoute, mirrorSettled, startMigration } from '../support/migration.ts'

let migration: Migration | null = null
afterEach(async () => {
  await migration?.stop()
  migration = null
})

/** What a transaction over both routes is answered: as soon as one of them has another primary than the other, by a refusal. */
async function countBoth(app: Redis): Promise<void> {
  const replies = await app.multi().incr('job:1').incr('other').exec()
  expect(replies?.map(([error]) => error)).toEqual([null, null])
}

test('several routes are switched at the same moment, or none of them, and transactions over both go on', async () => {
  migration = await startMigration(
    [
      mirroredRoute({ name: 'jobs', keys: ['job:*'], phase: 'shadow' }),
      mirroredRoute({ name: 'rest', phase: 'shadow' }),
    ],
    (source) => fillStrings(source, 50),
  )
  const { understudy, source, target } = migration
  const phase = (...args: string[]) => runCli(['phase', ...args], { UNDERSTUDY_ADMIN_URL: understudy.adminUrl })
  const phases = (): string[] =>
    [...readFileSync(understudy.configPath, 'utf8').matchAll(/phase: (\S+)/g)].map(([, name]) => name!)

  await doJob(understudy, 'backfill', 'jobs')
  const refused = await phase('jobs,rest', 'switched')
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/route 'rest': .* may lack what/) })
  expect(refused.stderr).not.toContain("route 'jobs'")
  expect(phases()).toEqual(['shadow', 'shadow'])

  await doJob(understudy, 'backfill', 'rest')
  let going = true
  let rounds = 0
  const app = understudy.client()
  const counting = (async () => {
    for (; going; rounds++) await countBoth(app)
  })()
  for (const to of ['switched', 'shadow', 'switched'] satisfies Phase[]) {
    const said = await phase('rest,jobs', to)
    expect(said).toMatchObject({ code: 0, stderr: '' })
    expect(said.stdout).toMatch(/^rest: .*commands held for .*\n(?: .*\n)*jobs: .*commands held for /)
    expect(phases()).toEqual([to, to])
  }
  going = false
  await counting
  await mirrorSettled(understudy)
  for (const server of [source, target])
    expect(await server.client().mget('job:1', 'other')).toEqual([String(rounds), String(rounds)])
})
