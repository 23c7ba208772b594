import { afterEach, expect, test } from 'vitest'
import type { PhaseResult } from '../../src/admin/control.ts'
import type { Status } from '../../src/admin/status.ts'
import { stepWarnings } from '../../src/cutover/step-warnings.ts'
import { transitions } from '../../src/cutover/transition.ts'
import type { UnsettledVerify } from '../../src/jobs/runner/unsettled-keys.ts'
import type { Stats } from '../../src/proxy/messages.ts'
import { configIn, gatesOf } from '../support/gates.ts'
import { doJob } from '../support/jobs.ts'
import { type Migration, mirroredRoute, startMigration } from '../support/migration.ts'

let running: Migration | null = null
afterEach(async () => {
  await running?.stop()
  running = null
})

const CLUSTER = { target: 'redis+cluster://127.0.0.1:2' }
const FOUND: UnsettledVerify = { job: 6, keys: 2423, extra: true, turned: false }
const LISTED = "erify 6 lists 2423 keys ('understudy jobs keys 6' says why) that no repair or later verify has settled"

const closedOf = async (target: object, unsettled: UnsettledVerify | null, verifyCauses = ['script']) => {
  const [from, to] = [configIn('switched', target), configIn('shadow', target)]
  const gates = await gatesOf(from, to, { all: { needsVerify: true, verifyCauses } }, 0, unsettled)
  return gates.filter(({ open }) => !open).map(({ reason }) => reason)
}

test('a gate that asks for a verify says what the last one has found, and to repair that first', async () => {
  expect(await closedOf({}, null)).toEqual([
    "keys that nobody can name may differ (script): run 'understudy verify all'",
  ])
  expect(await closedOf({}, FOUND)).toEqual([
    `keys that nobody can name may differ (script): v${LISTED}: ` +
      "run 'understudy repair all --delete-extra' (it deletes what only the shadow has), then 'understudy verify all'",
  ])
})

test.each([
  ['primary-restarted', 'switched', 'shadow', 'new', 'old'],
  ['failed-over', 'switched', 'shadow', 'new', 'old'],
  ['turned', 'shadow', 'switched', 'old', 'new'],
])(
  'where the primary may be the side that lacks something (%s), no repair is named, but the way to keep what the shadow has',
  async (cause, from, to, primary, shadow) => {
    const closed = async (unsettled: UnsettledVerify | null) => {
      const stats = { all: { needsVerify: true, verifyCauses: ['overflow', cause] } }
      const gates = await gatesOf(configIn(from), configIn(to), stats, 0, unsettled)
      return gates.find(({ open }) => !open)!.reason
    }
    const keep =
      `'${primary}', the primary, may lack what '${shadow}' has of them, and a repair would delete or overwrite that. ` +
      `To keep it: 'understudy phase all ${to} --force --reason TEXT' makes '${shadow}' the primary; then verify and repair`
    const doubted = `keys that nobody can name may differ (overflow, ${cause}): `
    expect(await closed(null)).toBe(`${doubted}run 'understudy verify all' and look at what it lists: ${keep}`)
    expect(await closed(FOUND)).toBe(`${doubted}v${LISTED}: ${keep}`)
  },
)

test('where each side may lack something no command is named that settles it', async () => {
  const stats = { all: { needsVerify: true, verifyCauses: ['shadow-restarted', 'turned'] } }
  const gates = await gatesOf(configIn('switched'), configIn('shadow'), stats, 0, FOUND)
  const { reason } = gates.find(({ open }) => !open)!
  expect(reason).toMatch(/'new', the primary, and 'old' may each lack what the other has .* a repair makes 'old' what/)
  expect(reason).not.toMatch(/--force|--delete-extra/)
})

test('on the way back from a cluster it says why scripts ask for it again and again', async () => {
  const [reason] = await closedOf(CLUSTER, null)
  expect(reason).toMatch(/verify all'\. Cluster 'new' does not tell what scripts write .*: let such scripts rest until/)
  expect(await closedOf(CLUSTER, null, ['overflow'])).toEqual([
    "keys that nobody can name may differ (overflow): run 'understudy verify all'",
  ])
})

test('that the way back from a cluster is closed by scripts is said where it is promised', () => {
  const said = (from: string, to: string, undeclared: number, target: object = CLUSTER) => {
    const [old, next] = [configIn(from, target), configIn(to, target)]
    const stats = { routes: { all: { needsVerify: false, counters: { undeclared } } } } as unknown as Stats
    return transitions(old, next).flatMap((step) => stepWarnings(step, next, stats, null).map(({ text }) => text))
  }
  expect(said('shadow', 'switched', 3)).toEqual([
    expect.stringMatching(/^Since the start 3 calls of scripts .* cluster 'new' does not tell .* closes the way back/),
  ])
  expect(said('shadow', 'switched', 0)).toEqual([])
  expect(said('shadow', 'switched', 3, {})).toEqual([])
  expect(said('switched', 'shadow', 3)).toEqual([])
})

test('what a verify has found and nobody has repaired is told by status, a dry run and the step itself, and closes nothing', async () => {
  running = await startMigration([mirroredRoute()], (source) => source.client().set('a', '1'))
  const { understudy, target } = running
  await doJob(understudy, 'backfill', 'all')
  await target.client().mset('a', 'other', 'b', 'extra')
  const { id } = await doJob(understudy, 'verify', 'all')
  const mirrorOf = async () => (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!
  const to = async (phase: string, dryRun: boolean) => {
    const path = '/api/v1/routes/all/phase'
    return (await understudy.admin<PhaseResult>(path, { method: 'PUT', body: JSON.stringify({ phase, dryRun }) })).body
  }
  const told = expect.stringContaining(`erify ${id} lists 2 keys`)
  expect((await mirrorOf()).mirror).toMatchObject({ unsettledVerify: { job: id, keys: 2, extra: true } })
  expect((await mirrorOf()).problems.map(({ text }) => text)).toContainEqual(told)
  const dry = await to('switched', true)
  expect(dry.closedGates).toEqual([])
  expect(dry.consequences).toContainEqual(told)
  expect((await to('shadow', false)).consequences).not.toContainEqual(told)
  expect((await to('switched', false)).consequences).toContainEqual(told)
  await to('shadow', false)
  await doJob(understudy, 'repair', 'all', { deleteExtra: true })
  expect((await mirrorOf()).mirror.unsettledVerify).toBeNull()
  expect((await to('switched', true)).consequences).not.toContainEqual(told)
}, 60_000)
