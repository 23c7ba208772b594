import { afterEach, expect, test } from 'vitest'
import type { AcknowledgementView, Comparison, Mismatch, MismatchKey } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { runCli } from '../cli/run-cli.ts'
import { eventually } from '../support/eventually.ts'
import { mirrorSettled } from '../support/migration.ts'
import { startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function start(compare: string) {
  const source = await startRedis()
  const target = await startRedis()
  running.push(source, target)
  const understudy = await startUnderstudy(`
stores:
  old: { url: "${source.url}" }
  new: { url: "${target.url}" }
routes:
  - name: all
    keys: ["*"]
    source: { store: old }
    target: { store: new }
    phase: shadow
    compare: ${compare}
`)
  running.push(understudy)
  // The shadow is connected: a read that comes before is not compared.
  await understudy.client().set('first', 1)
  await mirrorSettled(understudy)
  return { understudy, there: target.client() }
}

async function found(understudy: UnderstudyProcess, query = ''): Promise<Mismatch[]> {
  return (await understudy.admin<Mismatch[]>(`/api/v1/mismatches${query}`)).body
}

test('mismatches survive kill -9, are aggregated, acknowledged, exported, and told by the command line', async () => {
  const { understudy, there } = await start(
    '{ sample: 100%, acknowledge: [{ pattern: "noise:<n>", reason: "a counter of its own" }] }',
  )
  await there.mset('job:1', 'secret', 'job:2', 'secret', 'noise:1', 'secret')
  const app = understudy.client()
  for (const key of ['job:1', 'job:2', 'noise:1']) await app.get(key)
  await eventually(async () => expect((await found(understudy)).map(({ keys }) => keys).sort()).toEqual([1, 2]))
  const jobs = (await found(understudy, '?acknowledged=false'))[0]!
  expect(jobs).toMatchObject({ pattern: 'job:<n>', count: 2, class: 'extra', command: 'GET', acknowledged: null })
  expect((await found(understudy, '?acknowledged=true'))[0]).toMatchObject({
    pattern: 'noise:<n>',
    acknowledged: { reason: 'a counter of its own', until: null },
  })
  const { compare } = (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!
  expect(compare).toMatchObject({ compared: 3, mismatched: 2, acknowledged: 1 })
  expect(compare.rates['1m']).toEqual({ compared: 3, mismatched: 2, rate: 2 / 3 })
  expect(await understudy.metrics()).toContain('understudy_compare_total{route="all",result="acknowledged"} 1')

  await understudy.kill9()
  await understudy.restart()
  expect((await found(understudy, '?acknowledged=false'))[0]).toEqual(jobs)

  const until = new Date(Date.now() + 3_600_000).toISOString()
  const made = await understudy.admin<AcknowledgementView>('/api/v1/acknowledgements', {
    method: 'POST',
    body: JSON.stringify({ mismatch: jobs.id, until, reason: 'known' }),
  })
  expect(made).toMatchObject({ status: 201, body: { pattern: 'job:<n>', command: 'GET', class: 'extra', until } })
  expect(await found(understudy, '?acknowledged=false')).toEqual([])
  const again = understudy.client()
  await again.get('job:1')
  await eventually(async () => {
    const { routes } = (await understudy.admin<Comparison>('/api/v1/compare')).body
    expect(routes['all']!.commands['GET']).toMatchObject({ compared: 1, acknowledged: 1, mismatched: 0 })
  })

  const reach = { UNDERSTUDY_ADMIN_URL: understudy.adminUrl }
  const { stdout: exported } = await runCli(['mismatches', '--export'], reach)
  const keys = exported
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as MismatchKey)
  expect(keys.map(({ key }) => key).sort()).toEqual(['job:1', 'job:2', 'noise:1'])
  const { stdout: table } = await runCli(['mismatches'], reach)
  expect(table).toMatch(/job:<n> \(2\) .*known until/)
  expect(`${exported}${table}${understudy.stdout}`).not.toContain('secret')

  // What would look like "nothing is wrong" and is not: a misspelt route, an acknowledgement that is over before it begins.
  for (const args of [['--export'], ['--rates'], []]) {
    const { code, stderr } = await runCli(['mismatches', '--route', 'al', ...args], reach)
    expect({ code, stderr }).toEqual({ code: 2, stderr: "understudy: no route is called 'al'\n" })
  }
  const past = await runCli(['acknowledge', String(jobs.id), '--reason', 'late', '--until', '2020-01-31'], reach)
  expect(past).toMatchObject({ code: 2, stderr: expect.stringContaining('is past') })
}, 180_000)

test('values are shown where the route reveals them; JSON differences name their paths', async () => {
  const { understudy, there } = await start(
    '{ sample: 100%, reveal: values, ignore: { json: ["$.at"] }, decode: [json] }',
  )
  const app = understudy.client()
  const events = new AbortController()
  const told: string[] = []
  const listening = fetch(new URL('/api/v1/events', understudy.adminUrl), { signal: events.signal }).then(
    async (response) => {
      for await (const chunk of response.body!) told.push(Buffer.from(chunk).toString())
    },
  )
  listening.catch(() => {})
  await app.set('order:1', '{"total":10,"at":1}')
  await app.set('order:2', '{"total":10,"at":1}')
  await eventually(async () => expect(await there.get('order:2')).not.toBeNull())
  await there.set('order:1', '{"at":2,"total":10.0}')
  await there.set('order:2', '{"at":2,"total":11}')
  await app.get('order:1')
  await app.get('order:2')
  await eventually(async () => expect(await found(understudy)).toHaveLength(1))
  expect(await found(understudy)).toMatchObject([
    { key: 'order:2', paths: ['$.total'], primary: '{"total":10}', shadow: '{"total":11}' },
  ])
  const { compare } = (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!
  expect(compare).toMatchObject({ matched: 1, ignored: 1, mismatched: 1 })
  await eventually(() => expect(told.join('')).toMatch(/event: mismatch\ndata: .*"order:2"/))
  events.abort()
}, 180_000)
