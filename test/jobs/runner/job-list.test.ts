import { expect, test } from 'vitest'
import type { Status } from '../../../src/admin/status.ts'
import type { Job } from '../../../src/jobs/runner/job.ts'
import { runCli } from '../../cli/run-cli.ts'
import { eventually } from '../../support/eventually.ts'
import { doJob } from '../../support/jobs.ts'
import { mirroredRoute, startMigration } from '../../support/migration.ts'

test('jobs of a route that does not exist are wrong usage, and those of one that was taken out are listed', async () => {
  const gone = mirroredRoute({ name: 'gone', keys: ['gone:*'] })
  const migration = await startMigration([mirroredRoute(), gone])
  try {
    const { understudy } = migration
    const jobs = (...args: string[]) => runCli(['jobs', ...args], { UNDERSTUDY_ADMIN_URL: understudy.adminUrl })
    expect(await jobs('--route', 'nope')).toEqual({
      code: 2,
      stdout: '',
      stderr: "understudy: no route is called 'nope'\n",
    })
    expect((await understudy.admin('/api/v1/jobs?route=nope')).status).toBe(404)
    expect(await jobs('--route', 'gone')).toEqual({ code: 0, stdout: 'No jobs.\n', stderr: '' })

    const { id } = await doJob(understudy, 'verify', 'gone')
    understudy.edit((text) => text.replace(/ {2}- name: gone\n( {4}.*\n)*/, ''))
    await eventually(async () => {
      const { routes } = (await understudy.admin<Status>('/api/v1/status')).body
      expect(Object.keys(routes)).toEqual(['all'])
    })
    const listed = await jobs('--route', 'gone', '--json')
    expect({ ...listed, stdout: (JSON.parse(listed.stdout) as Job[]).map((job) => job.id) }).toEqual({
      code: 0,
      stdout: [id],
      stderr: '',
    })
    expect((await jobs('--route', 'gone', '--state', 'failed')).stdout).toBe('No jobs.\n')
  } finally {
    await migration.stop()
  }
})
