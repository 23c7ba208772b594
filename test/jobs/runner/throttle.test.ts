import { expect, test } from 'vitest'
import type { JobEnvironment } from '../../../src/jobs/runner/environment.ts'
import type { Task } from '../../../src/jobs/runner/task.ts'
import { Throttle } from '../../../src/jobs/runner/throttle.ts'
import { eventually } from '../../support/eventually.ts'

const ROUTE = 'all'

/** What a throttle asks: one route to a target that ails when `ailment` says so, and whose connection is as `link` says. */
function asked(
  ailment: () => string | null,
  link: () => { state: string; error: string | null } = () => ({ state: 'up', error: null }),
) {
  const environment = {
    config: () => ({
      routes: [{ name: ROUTE, source: { store: 'old' }, target: { store: 'new' }, mirror: { backlogBytes: 1 } }],
    }),
    ailment: (store: string) => (store === 'new' ? ailment() : null),
    dataPath: {
      stats: async () => ({
        stores: { old: { state: 'up' }, new: link() },
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

test('why a store that hangs does not answer is told from when it is seen to hang, also while a connection is being opened', async () => {
  let state = 'up'
  let error: string | null = null
  let ailment: string | null = null
  const { task, throttle } = asked(
    () => ailment,
    () => ({ state, error }),
  )
  await throttle.admit(1)
  const { promise, resolve } = Promise.withResolvers<void>()
  const watched = throttle.watch(promise)
  const told = (text: string | null) => eventually(async () => expect(task.throttle).toBe(text))
  ailment = 'no answer within 5 s'
  await told("store 'new': no answer within 5 s")
  state = 'connecting'
  await told("store 'new' does not answer (no answer within 5 s)")
  state = 'down'
  error = 'ECONNREFUSED'
  await told("store 'new' does not answer (ECONNREFUSED)")
  state = 'up'
  error = null
  ailment = null
  await told(null)
  resolve()
  await watched
})
