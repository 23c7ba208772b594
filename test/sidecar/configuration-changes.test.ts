import { expect, test } from 'vitest'
import type { LeftKeys } from '../../src/proxy/messages.ts'
import type { ChangeGuards } from '../../src/sidecar/change-guards.ts'
import { type ChangesOptions, ConfigurationChanges } from '../../src/sidecar/configuration-changes.ts'
import { configOf } from '../support/data-path.ts'

const config = configOf({
  stores: { old: { port: 1 }, new: { port: 2 } },
  routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
})

/** `closed`: what the gates say, look by look. `failing`: what does not come about. `left`: what a forced change leaves behind. */
function changesWith(
  closed: string[][],
  failing: 'provide' | 'approaching' | null = null,
  left: readonly LeftKeys[] = [],
) {
  const done: string[] = []
  const changes: ConfigurationChanges = new ConfigurationChanges({
    configPath: null,
    config,
    env: {},
    log: { info() {}, warn() {}, error() {} },
    thread: {
      apply: async () => {
        done.push(`apply, ${changes.inForce.isMoving('all') ? 'moving' : 'at rest'}`)
        return { ok: true, pauseMs: 1, left }
      },
      setAlteredSources: async () => {},
      setCompleteShadows: async () => {},
      setCompletePrimaries: async () => {},
    },
    stores: {
      endpointsOf: () => ({}),
      provide: async ({ routes }: typeof config) => {
        done.push(`provide ${routes[0]!.phase}`)
        if (failing === 'provide') throw new Error('a server does not start')
      },
      settle: async ({ routes }: typeof config) => done.push(`settle ${routes[0]!.phase}`),
    },
    switches: { inForce() {}, keysMoved() {} },
    onEntered() {},
    onReloaded() {},
  } as unknown as ChangesOptions)
  changes.inForce.guardedBy({
    completeness: {
      approaching: async () => {
        if (failing === 'approaching') throw new Error('the disk is full')
      },
      inForce: async () => {},
      alteredSources: () => [],
      completeShadows: () => [],
      completePrimaries: () => [],
      calledOff: () => done.push('called off'),
    },
    gates: {
      all: async () => [],
      warnings: async () => [],
      approach: async () => {
        done.push(`look, ${changes.inForce.isMoving('all') ? 'moving' : 'at rest'}`)
        return closed.shift() ?? []
      },
    },
    journal: { forced() {}, entered() {} },
  } as unknown as ChangeGuards)
  return { changes, done }
}

test('the gates are looked at again behind all that takes time, when nothing can be done to one end alone any more', async () => {
  const { changes, done } = changesWith([])
  await changes.setPhase('all', { phase: 'switched' })
  expect(done).toEqual(['look, at rest', 'provide switched', 'look, moving', 'apply, moving', 'settle switched'])
  expect(changes.inForce.isMoving('all')).toBe(false)
})

test('one that has closed meanwhile refuses, and everything is as before', async () => {
  const { changes, done } = changesWith([[], ['a cleanup is deleting keys']])
  await expect(changes.setPhase('all', { phase: 'switched' })).rejects.toMatchObject({
    code: 'GATE_CLOSED',
    message: 'a cleanup is deleting keys',
  })
  expect(done).toEqual(['look, at rest', 'provide switched', 'look, moving', 'called off', 'settle mirror'])
  expect(changes.inForce.isMoving('all')).toBe(false)
  expect(changes.inForce.config).toBe(config)
})

test('what is forced asks no gate, and nothing may be done to one end alone either', async () => {
  const { changes, done } = changesWith([['closed']])
  await changes.setPhase('all', { phase: 'switched', force: true, reason: 'test' })
  expect(done).toEqual(['provide switched', 'apply, moving', 'settle switched'])
})

test.each([
  ['provide', 'a server does not start'],
  ['approaching', 'the disk is full'],
] as const)('where %s fails, what was provided is let go, and everything is as before', async (failing, reason) => {
  const { changes, done } = changesWith([], failing)
  await expect(changes.setPhase('all', { phase: 'switched' })).rejects.toThrow(reason)
  expect(done).toEqual(['look, at rest', 'provide switched', 'called off', 'settle mirror'])
  expect(changes.inForce.config).toBe(config)
})

test.each([
  [[], false, 'nothing is lost', 'Left behind'],
  [
    [{ route: 'all', keys: 3 }],
    false,
    "Left behind: 3 keys. Their last values are on 'old' (source)",
    'nothing is lost',
  ],
  [[], true, 'Way back: edit the line back.', 'nothing is lost'],
])('what a forced step leaves behind is told (%j, dry run: %s)', async (left, dryRun, says, saysNot) => {
  const { changes } = changesWith([], null, left)
  const { consequences } = await changes.setPhase('all', { phase: 'switched', force: true, reason: 'test', dryRun })
  expect(consequences.join(' ')).toContain(says)
  expect(consequences.join(' ')).not.toContain(saysNot)
})
