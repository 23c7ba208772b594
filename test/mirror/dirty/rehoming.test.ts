import { beforeEach, describe, expect, test } from 'vitest'
import type { DataPathContext } from '../../../src/mirror/context.ts'
import { CopyState } from '../../../src/mirror/copy/copy-state.ts'
import { DirtySet } from '../../../src/mirror/dirty/dirty-set.ts'
import { Rehoming } from '../../../src/mirror/dirty/rehoming.ts'
import type { RouteState } from '../../../src/routing/route.ts'
import { RouteTable } from '../../../src/routing/route-table.ts'
import { configOf, type RouteOptions } from '../../support/data-path.ts'

const ENDS = { source: 'old', target: 'new', phase: 'mirror' } as const
const JOBS: RouteOptions = { ...ENDS, name: 'jobs', keys: ['job:{id}'] }
const REST: RouteOptions = { ...ENDS, name: 'rest' }

const states = new Map<string, RouteState>()
const SILENT = { clientPipelines: () => [], shadows: { open: () => [] } }
const context = {
  clock: { nowMs: 1_000 },
  log: () => {},
  stores: [SILENT, SILENT],
  copies: new CopyState(),
} as unknown as { routes: RouteTable; clock: { nowMs: number } } & DataPathContext
let dirty: DirtySet
let rehoming: Rehoming

function routesAre(...routes: RouteOptions[]): void {
  context.routes = new RouteTable(
    configOf({ stores: { old: { port: 1 }, new: { port: 2 } }, routes }),
    1,
    ['old', 'new'],
    states,
  )
}

beforeEach(() => {
  states.clear()
  context.clock.nowMs = 1_000
  routesAre(REST)
  dirty = new DirtySet(1_000_000)
  rehoming = new Rehoming(context, dirty, () => false)
})

/** A go takes one key at least, however busy the machine is. */
function toTheEnd(): void {
  for (let i = 0; i < 100; i++) rehoming.run()
}

function mark(name: string, route = 'rest'): void {
  dirty.mark(context.routes.byName(route)!, 0, Buffer.from(name), 'shadow-down', 1_000)
}

function has(route: string, name: string): boolean {
  return dirty.has(route, 0, Buffer.from(name))
}

describe('dirty keys go where their keys go', () => {
  test('to a route that takes them; the others stay', () => {
    for (const name of ['job:1', 'user:1', 'job:2']) mark(name)
    routesAre(JOBS, REST)
    rehoming.begin([['rest', 'jobs']])
    toTheEnd()
    expect([dirty.count('rest'), dirty.count('jobs')]).toEqual([1, 2])
    expect([has('jobs', 'job:1'), has('jobs', 'job:2'), has('rest', 'user:1')]).toEqual([true, true, true])
    expect(dirty.figures.reasons('jobs')).toEqual({ 'shadow-down': 2 })
  })

  test('and are dirty since when they were: that says how they may be copied', () => {
    mark('job:1')
    context.clock.nowMs = 5_000
    routesAre(JOBS, REST)
    rehoming.begin([['rest', 'jobs']])
    toTheEnd()
    expect(dirty.find('jobs', 0, Buffer.from('job:1'))).toMatchObject({ sinceMs: 1_000 })
    // One that has been written there meanwhile is both.
    dirty.mark(context.routes.byName('jobs')!, 0, Buffer.from('job:2'), 'state-copy', 5_000)
    dirty.mark(context.routes.byName('jobs')!, 0, Buffer.from('job:2'), 'state-copy', 1_000)
    expect(dirty.find('jobs', 0, Buffer.from('job:2'))).toMatchObject({ sinceMs: 1_000 })
  })

  test('from a route that is gone', () => {
    routesAre(JOBS, REST)
    mark('job:1', 'jobs')
    dirty.toVerify.mark('jobs', 'overflow')
    routesAre(REST)
    rehoming.begin([['jobs', 'rest']])
    toTheEnd()
    expect([dirty.count('jobs'), has('rest', 'job:1')]).toEqual([0, true])
    expect([dirty.needsVerify('jobs'), dirty.toVerify.causes('rest')]).toEqual([false, ['rerouted']])
  })

  test.each(['turned', 'primary-restarted'] as const)(
    'from a route whose primary may lack what its shadow has (%s): so it may of theirs',
    (cause) => {
      dirty.toVerify.mark('rest', cause)
      routesAre(JOBS, REST)
      rehoming.begin([['rest', 'jobs']])
      expect(dirty.toVerify.causes('jobs')).toEqual([cause])
    },
  )

  test.each([
    ['switched', 'primary-restarted'],
    ['shadow', 'shadow-restarted'],
  ] as const)('to a route in %s, from one whose shadow may lack something: %s', (phase, cause) => {
    dirty.toVerify.mark('rest', 'shadow-restarted')
    const former = context.routes
    routesAre({ ...JOBS, phase }, REST)
    rehoming.begin([['rest', 'jobs']], former)
    expect(dirty.toVerify.causes('jobs')).toEqual([cause])
  })

  test.each([
    ['mirror', ['primary-restarted', 'shadow-failed-over', 'rerouted']],
    ['switched', ['shadow-restarted', 'failed-over', 'turned']],
  ] as const)('each cause is said of the side that it was of (to a route in %s)', (phase, causes) => {
    for (const cause of ['primary-restarted', 'shadow-failed-over', 'overflow'] as const)
      dirty.toVerify.mark('rest', cause)
    const former = context.routes
    routesAre({ ...REST, name: 'renamed', phase })
    rehoming.begin([['rest', 'renamed']], former)
    expect(dirty.toVerify.causes('renamed')).toEqual(causes)
  })

  test('from a route that is turned itself, whose causes have been turned with it', () => {
    dirty.toVerify.mark('rest', 'primary-restarted')
    const former = context.routes
    dirty.toVerify.exchange('rest')
    routesAre({ ...JOBS, phase: 'switched' }, { ...REST, phase: 'switched' })
    rehoming.begin([['rest', 'jobs']], former)
    expect(dirty.toVerify.causes('jobs')).toEqual(['shadow-restarted'])
  })

  test('from a route whose functions alone are in doubt: these are not of keys', () => {
    dirty.toVerify.mark('rest', 'functions')
    routesAre(JOBS, REST)
    rehoming.begin([['rest', 'jobs']])
    expect(dirty.needsVerify('jobs')).toBe(false)
  })

  test('from a route that mirrors nothing any more: what stays there means nothing', () => {
    for (const name of ['job:1', 'user:1']) mark(name)
    dirty.toVerify.mark('rest', 'overflow')
    routesAre(JOBS, { ...REST, phase: 'passthrough' })
    rehoming.begin([['rest', 'jobs']])
    toTheEnd()
    expect([dirty.count('rest'), has('jobs', 'job:1')]).toEqual([0, true])
    expect([dirty.needsVerify('rest'), dirty.toVerify.causes('jobs')]).toEqual([false, ['rerouted']])
  })

  test('to a route that mirrors nothing: they mean nothing any more', () => {
    mark('job:1')
    routesAre({ ...JOBS, phase: 'passthrough' }, REST)
    rehoming.begin([['rest', 'jobs']])
    toTheEnd()
    expect(dirty.size).toBe(0)
  })

  test('a key that is being copied meanwhile is copied again, as its new route says', () => {
    mark('job:1')
    const copying = dirty.take('rest')!
    routesAre(JOBS, REST)
    rehoming.begin([['rest', 'jobs']])
    toTheEnd()
    expect(dirty.copied(copying, copying.version)).toBe(true)
    expect(has('jobs', 'job:1')).toBe(true)
  })

  test('many in several goes; until the last is found no switch of the route that gets them may come', () => {
    for (let i = 0; i < 100_000; i++) mark(i % 2 === 0 ? `job:${i}` : `user:${i}`)
    routesAre(JOBS, REST)
    rehoming.begin([['rest', 'jobs']])
    const { state } = context.routes.byName('jobs')!
    let goes = 1
    for (; state.backlogCommands > 0; goes++) {
      // Copied, and marked anew, between two goes: the walk loses its place in neither case.
      const entry = dirty.take('rest')!
      dirty.copied(entry, entry.version)
      mark('user:1')
      rehoming.run()
    }
    expect(goes).toBeGreaterThan(1)
    for (let i = 0; i < 100_000; i += 2) if (has('rest', `job:${i}`)) expect.fail(`job:${i} stayed`)
    expect(dirty.count('jobs') + dirty.count('rest')).toBeGreaterThan(100_000 - goes)
  })
})

describe('dirty keys that the last run has left', () => {
  const asNow = (store: string, name: string): boolean => store === name

  test('of a route that is gone are copied where the primary is the store that it was', () => {
    routesAre(JOBS, REST)
    mark('job:1', 'jobs')
    routesAre(REST)
    rehoming.recover(new Map([['jobs', 'old']]), asNow)
    toTheEnd()
    expect([has('rest', 'job:1'), dirty.needsVerify('rest')]).toEqual([true, false])
  })

  test('likewise where that store only had another name', () => {
    routesAre(JOBS, REST)
    mark('job:1', 'jobs')
    routesAre(REST)
    rehoming.recover(new Map([['jobs', 'first']]), (store, name) => store === 'old' && name === 'first')
    toTheEnd()
    expect([has('rest', 'job:1'), dirty.needsVerify('rest')]).toEqual([true, false])
  })

  test('are not copied where it is not known which store was the primary', () => {
    routesAre(JOBS, REST)
    mark('job:1', 'jobs')
    routesAre(REST)
    rehoming.recover(new Map([['jobs', '']]), () => false)
    toTheEnd()
    expect([has('rest', 'job:1'), dirty.toVerify.causes('rest')]).toEqual([false, ['turned']])
  })

  test('are not copied where another store is the primary now: nobody knows which side is right', () => {
    routesAre({ ...JOBS, phase: 'switched' }, REST)
    mark('job:1', 'jobs')
    routesAre(REST)
    rehoming.recover(new Map([['jobs', 'new']]), asNow)
    toTheEnd()
    expect(dirty.size).toBe(0)
    expect(dirty.toVerify.causes('rest')).toEqual(['turned'])
  })
})
