import { afterEach, describe, expect, test } from 'vitest'
import type { Mismatch, PhaseResult } from '../../src/admin/control.ts'
import type { Phase } from '../../src/config/config.ts'
import type { EndName } from '../../src/jobs/stores/end-keys.ts'
import { eventually } from '../support/eventually.ts'
import { configIn, gatesOf } from '../support/gates.ts'
import { doJob } from '../support/jobs.ts'
import { type Migration, mirroredRoute, startMigration } from '../support/migration.ts'

const running: Migration[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
})

const ABOUT = /compared|minCompared/

interface Seen {
  readonly compared: number
  readonly mismatched: number
  /** Listed, neither mended nor acknowledged. */
  readonly open: number
  /** Lines of `cutover`. */
  readonly cutover?: string
}

/** The reason of the gate on mismatches, with whether it is open; null: the step has none. */
async function gateOf(from: Phase, to: Phase, step: Seen): Promise<string | null> {
  const { compared, mismatched, open, cutover = '' } = step
  const all = { compare: { windows: { '10m': { compared, mismatched } } } }
  const seen = await gatesOf(configIn(from, { cutover }), configIn(to, { cutover }), { all }, open)
  const about = seen.filter(({ reason }) => ABOUT.test(reason))
  expect(about.length).toBeLessThan(2)
  return about[0] === undefined ? null : `${about[0].open ? 'open' : 'closed'}: ${about[0].reason}`
}

describe('the gate on mismatches', () => {
  test('stands on the steps that move reads or writes to the target, and on no way back', async () => {
    const bad = { compared: 100, mismatched: 50, open: 1 }
    const closed = /^closed: 50 of 100 compared reads differed in ten minutes, and 'cutover.maxMismatchRate' is 0.01%/
    for (const [from, to] of [
      ['shadow', 'read-target'],
      ['shadow', 'switched'],
      ['read-target', 'switched'],
    ] as const)
      expect(await gateOf(from, to, bad)).toMatch(closed)
    for (const [from, to] of [
      ['switched', 'read-target'],
      ['switched', 'shadow'],
      ['read-target', 'shadow'],
      ['mirror', 'shadow'],
      ['switched', 'done'],
    ] as const)
      expect([from, to, await gateOf(from, to, bad)]).toEqual([from, to, null])
  })

  test('advises no repair where the primary may be the side that lacks something', async () => {
    const advised = async (verifyCauses: string[], incomplete: EndName | null): Promise<string> => {
      const all = { compare: { windows: { '10m': { compared: 9, mismatched: 9 } } }, verifyCauses }
      const seen = await gatesOf(configIn('shadow'), configIn('switched'), { all }, 1, null, incomplete)
      return seen.find(({ reason }) => ABOUT.test(reason))!.reason
    }
    // It was restarted; or it never had what the other one held before, and became the primary by force.
    for (const about of [await advised(['failed-over'], null), await advised([], 'source')]) {
      expect(about).toMatch(
        /see 'understudy mismatches --route all', and settle first what 'old', the primary, may lack/,
      )
      expect(about).not.toContain('repair')
    }
    expect(await advised([], 'target')).toContain("'understudy repair all'")
  })

  test.each<[string, Seen, RegExp]>([
    ['no difference', { compared: 10, mismatched: 0, open: 0 }, /^open: 0 of 10 compared reads/],
    [
      'nothing compared, nothing listed',
      { compared: 0, mismatched: 0, open: 0 },
      /^open: 0 of 0 compared reads.*none is sampled: set compare.sample/,
    ],
    ['as many as allowed', { compared: 10_000, mismatched: 1, open: 1 }, /^open: 1 of 10000 .*not more than 0.01%$/],
    ['one more', { compared: 10_000, mismatched: 2, open: 1 }, /^closed: 2 of 10000/],
    ['all mended', { compared: 10, mismatched: 9, open: 0 }, /^open: 9 of 10 .*mended or acknowledged$/],
    ['listed, and none compared since', { compared: 0, mismatched: 0, open: 2 }, /^closed: 2 differences are listed/],
    [
      'another threshold',
      { compared: 100, mismatched: 5, open: 1, cutover: 'maxMismatchRate: 5%' },
      /^open: .*not more than 5%$/,
    ],
    [
      'a threshold that refuses nothing',
      { compared: 0, mismatched: 0, open: 3, cutover: 'maxMismatchRate: 100%' },
      /^open: /,
    ],
    [
      'too few compared',
      { compared: 99, mismatched: 0, open: 0, cutover: 'minCompared: 100' },
      /^closed: 99 reads were compared in ten minutes, and 'cutover.minCompared' asks for 100/,
    ],
    ['enough compared', { compared: 100, mismatched: 0, open: 0, cutover: 'minCompared: 100' }, /^open: /],
  ])('%s', async (_, seen, expected) => {
    expect(await gateOf('shadow', 'read-target', seen)).toMatch(expected)
  })
})

test('a difference closes the way to the target until it is mended or acknowledged, also over a restart, and forcing it needs a reason', async () => {
  const migration = await startMigration([mirroredRoute({ phase: 'shadow', compare: { sample: '100%' } })])
  running.push(migration)
  const { understudy, target } = migration
  const to = async (phase: Phase, more: object = {}) =>
    (
      await understudy.admin<PhaseResult & { error?: { code: string; message: string } }>('/api/v1/routes/all/phase', {
        method: 'PUT',
        body: JSON.stringify({ phase, ...more }),
      })
    ).body
  const listed = async () => (await understudy.admin<Mismatch[]>('/api/v1/mismatches')).body
  const plant = async (key: string) => {
    const app = understudy.client()
    await app.set(key, 'right')
    await eventually(async () => expect(await target.client().get(key)).toBe('right'))
    await target.client().set(key, 'wrong')
    await app.get(key)
    await eventually(async () => expect((await listed()).map((one) => one.key)).toContain(key))
  }

  await plant('a')
  const differed = /1 of 1 compared reads differed in ten minutes.*understudy repair all/
  for (const phase of ['read-target', 'switched'] as const) {
    expect((await to(phase, { dryRun: true })).closedGates).toEqual([expect.stringMatching(differed)])
    expect((await to(phase)).error).toMatchObject({ code: 'GATE_CLOSED', message: expect.stringMatching(differed) })
  }
  await understudy.restart()
  expect((await to('read-target')).error?.message).toMatch(/1 difference is listed/)
  await doJob(understudy, 'repair', 'all')
  expect(await listed()).toEqual([])
  expect((await to('read-target', { dryRun: true })).closedGates).toEqual([])

  await plant('b')
  expect((await to('read-target', { dryRun: true })).closedGates).toHaveLength(1)
  await understudy.admin('/api/v1/acknowledgements', {
    method: 'POST',
    body: JSON.stringify({ mismatch: (await listed())[0]!.id, reason: 'known' }),
  })
  expect((await to('read-target', { dryRun: true })).closedGates).toEqual([])

  await plant('c:d')
  expect((await to('read-target', { force: true })).error?.code).toBe('USAGE')
  expect((await to('read-target', { force: true, reason: 'looked at by hand' })).to).toBe('read-target')
  expect((await to('shadow')).error).toBeUndefined()
}, 180_000)
