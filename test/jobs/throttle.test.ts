import { expect, test } from 'vitest'
import type { JobEnvironment } from '../../src/jobs/environment.ts'
import type { Task } from '../../src/jobs/task.ts'
import { Throttle } from '../../src/jobs/throttle.ts'
import { eventually } from '../support/eventually.ts'

const ROUTE = 'all'

/** What a throttle asks: one route to a target that ails when `ailment` says so. */
function asked(ailment: () => string | null) {
  const environment = {
    config: () => ({
      routes: [{ name: ROUTE, source: { store: 'old' }, target: { store: 'new' }, mirror: { backlogBytes: 1 } }],
    }),
    ailment: (store: string) => (store === 'new' ? ailment() : null),
    dataPath: {
      stats: async () => ({
        stores: { old: { state: 'up' }, new: { state: 'up' } },
        routes: { [ROUTE]: { lagMs: 0, backlogBytes: 0, primaryTimes: { counts: [] } } },
      }),
    },
  }
  const task = { throttle: null as string | null, pace: async () => {}, wait: async () => {} }
  return { task, throttle: new Throttle(environment as unknown as JobEnvironment, task as unknown as Task, ROUTE) }
}

test('a store that ails while keys are under way is told of, until it does not any more', async () => {
  let ailment: string | null = null
  const { task, throttle } = asked(() => ailment)
  await throttle.admit(1)
  expect(task.throttle).toBeNull()
  const { promise, resolve } = Promise.withResolvers<string>()
  const watched = throttle.watch(promise)
  ailment = '1 of 2 masters does not answer'
  await eventually(async () => expect(task.throttle).toBe("store 'new': 1 of 2 masters does not answer"))
  ailment = null
  await eventually(async () => expect(task.throttle).toBeNull())
  resolve('copied')
  expect(await watched).toBe('copied')
})
