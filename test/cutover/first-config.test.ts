import { describe, expect, test } from 'vitest'
import { type Config, PHASES, type Phase } from '../../src/config/config.ts'
import { parseConfig } from '../../src/config/file/load.ts'
import { routingOf } from '../../src/config/routing.ts'
import { type FirstFacts, firstConfig } from '../../src/cutover/first-config.ts'
import type { LastRun } from '../../src/mirror/crash/last-run.ts'

interface Options {
  readonly old?: string
  readonly fresh?: string
  readonly more?: string
}

const config = (
  phase: Phase,
  { old = 'redis://10.0.0.1', fresh = 'redis://10.0.0.2', more = '' }: Options = {},
): Config =>
  parseConfig(
    `
listen: [{ url: "redis://127.0.0.1:6380" }]
stores: { old: { url: "${old}" }, new: { url: "${fresh}" } }
routes: [{ name: all, keys: ["*"], source: { store: old }, target: { store: new }, phase: ${phase} }${more}]
`,
    { path: 'test.yaml', env: {} },
  ).config

const JOBS = ', { name: jobs, keys: ["job:{id}"], source: { store: new } }'

/** A run that was stopped with nothing in doubt. */
const lastRun = (of: Config, more: Partial<LastRun> = {}): LastRun => ({
  // As it comes from the disk.
  routing: JSON.parse(JSON.stringify(routingOf(of))),
  ended: 'stopped',
  dirtyKeys: new Map(),
  verifyCauses: new Map(),
  ...more,
})

const CLEAN: FirstFacts = { lacking: async () => null, openMismatches: () => 0, refused: null }
const LACKING: FirstFacts = { ...CLEAN, lacking: async () => 'it lacks something' }

const phaseOf = async (file: Config, last: LastRun | null, facts = CLEAN): Promise<Phase> => {
  const first = await firstConfig(file, last, facts)
  // Whoever begins with something else is told why.
  expect(first.doubts.length > 0).toBe(first.config !== file)
  return first.config.routes[0]!.phase
}

test('where nothing is known of a last run the file decides', async () => {
  for (const phase of PHASES) expect(await phaseOf(config(phase), null, LACKING)).toBe(phase)
})

test('a step that moves neither the authority nor reads is taken, whatever is in doubt', async () => {
  const doubtful = {
    ended: 'crashed',
    dirtyKeys: new Map([['all', 3]]),
    verifyCauses: new Map([['all', ['script']]]),
  } as const
  for (const [from, to] of [
    ['mirror', 'mirror'],
    ['passthrough', 'mirror'],
    ['mirror', 'passthrough'],
    ['read-target', 'shadow'],
    ['switched', 'done'],
  ] as const)
    expect(await phaseOf(config(to), lastRun(config(from), doubtful), LACKING)).toBe(to)
})

describe('a step that moves the authority', () => {
  const step = (more: Partial<LastRun> = {}, facts = CLEAN) =>
    phaseOf(config('switched'), lastRun(config('mirror'), more), facts)

  test('is taken where the last run was stopped and both ends hold everything, and so is the way back', async () => {
    expect(await step()).toBe('switched')
    expect(await phaseOf(config('mirror'), lastRun(config('switched')))).toBe('mirror')
  })

  test.each<[string, Partial<LastRun>, Partial<FirstFacts>]>([
    ['the end may lack keys', {}, LACKING],
    ['keys are dirty', { dirtyKeys: new Map([['all', 3]]) }, {}],
    ['the route needs a verify', { verifyCauses: new Map([['all', ['overflow']]]) }, {}],
    ['the last run was killed', { ended: 'crashed' }, {}],
    ['what the last run was writing is not known', { ended: 'unknown' }, {}],
    ['differences are listed', {}, { openMismatches: () => 2 }],
    ['the last run refused it', {}, { refused: 'a gate was closed' }],
  ])('is not taken where %s', async (_, last, facts) => {
    expect(await step(last, { ...CLEAN, ...facts })).toBe('mirror')
  })

  test('is not taken where nothing was mirrored', async () => {
    for (const to of ['switched', 'done'] as const)
      expect(await phaseOf(config(to), lastRun(config('passthrough')))).toBe('passthrough')
    expect(await phaseOf(config('mirror'), lastRun(config('done')))).toBe('done')
  })

  test('what is in doubt of another route does not matter', async () => {
    expect(await step({ dirtyKeys: new Map([['gone', 3]]), verifyCauses: new Map([['gone', ['script']]]) })).toBe(
      'switched',
    )
  })

  test('mismatches close no gate on the way back', async () => {
    expect(await phaseOf(config('mirror'), lastRun(config('switched')), { ...CLEAN, openMismatches: () => 2 })).toBe(
      'mirror',
    )
  })
})

test('reads do not move to an end that may lack keys; keys that are dirty are read where they are right', async () => {
  expect(await phaseOf(config('read-target'), lastRun(config('shadow')), LACKING)).toBe('shadow')
  expect(await phaseOf(config('read-target'), lastRun(config('shadow'), { dirtyKeys: new Map([['all', 3]]) }))).toBe(
    'read-target',
  )
})

test('keys that other patterns would take to a store which may lack them stay, and all else with them', async () => {
  const file = config('shadow', { more: JOBS })
  const { config: first, doubts } = await firstConfig(file, lastRun(config('mirror')), LACKING)
  expect(first.routes.map(({ name, phase }) => [name, phase])).toEqual([['all', 'mirror']])
  expect(first.stores).toBe(file.stores)
  expect(doubts).toEqual([expect.stringContaining('keys "job:{id}" of route \'all\'')])
})

test('a route that is gone comes back with its ends, and the settings of another', async () => {
  const first = await firstConfig(config('mirror'), lastRun(config('mirror', { more: JOBS })), CLEAN)
  expect(first.config.routes[1]).toMatchObject({
    name: 'jobs',
    keys: ['job:{id}'],
    source: { store: 'new' },
    target: null,
  })
  expect(first.config.routes[1]!.mirror).toEqual(first.config.routes[0]!.mirror)
})

describe('a store at another address', () => {
  const moved = config('mirror', { old: 'redis://10.0.0.9' })
  const last = lastRun(config('mirror'))

  test('is taken as it is, with a word', async () => {
    const first = await firstConfig(moved, last, CLEAN)
    expect(first).toMatchObject({
      doubts: [],
      unguarded: [expect.stringContaining("route 'all': their primary moves")],
    })
    expect(first.config).toBe(moved)
  })

  test('is not, where the last run refused it', async () => {
    const { config: first, unguarded } = await firstConfig(moved, last, { ...CLEAN, refused: 'another server' })
    expect(unguarded).toEqual([])
    expect(first.stores['old']).toEqual(config('mirror').stores['old'])
  })

  test('is no other place where it is the same Sentinels and one more', async () => {
    const [two, three] = ['a,b', 'a,b,c'].map((list) => `redis+sentinel://${list}/main`) as [string, string]
    const file = config('switched', { fresh: three })
    const first = await firstConfig(file, lastRun(config('mirror', { fresh: two })), LACKING)
    expect([first.config.routes[0]!.phase, first.config.stores]).toEqual(['mirror', file.stores])
  })
})

test('a store that is not named any more leaves nothing to go back to', async () => {
  const text = config('mirror')
  const { old: _, ...stores } = text.stores
  const routes = text.routes.map((route) => ({
    ...route,
    source: route.target!,
    target: null,
    phase: 'passthrough' as const,
  }))
  const file = { ...text, stores, routes }
  const first = await firstConfig(file, lastRun(text), { ...CLEAN, refused: 'a gate was closed' })
  expect(first.config).toBe(file)
})
