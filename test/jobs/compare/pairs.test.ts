import { expect, test } from 'vitest'
import { Pairs } from '../../../src/jobs/compare/pairs.ts'
import type { JobEnvironment } from '../../../src/jobs/runner/environment.ts'
import type { Task } from '../../../src/jobs/runner/task.ts'
import type { EndKeys } from '../../../src/jobs/stores/end-keys.ts'
import type { StoreConnections } from '../../../src/jobs/stores/store-connection.ts'
import { WAITS_FOR_COPY } from '../../../src/mirror/copy/aligned-reads.ts'
import { eventually } from '../../support/eventually.ts'

const MANY = 2_000
const DIFFERENT = { kind: 'different', difference: { class: 'missing', detail: '' } } as const
const environment = {
  config: () => ({ routes: [{ name: 'all', compare: { ttlToleranceMs: 0, ignoreJson: [], decode: [] } }] }),
  version: () => '7.2.0',
} as unknown as JobEnvironment
const end = { storeName: 'store' } as unknown as EndKeys

test('while keys that differ wait for their next look, others have theirs', async () => {
  let goOn = (): void => {}
  const waited = new Promise<void>((resolve) => {
    goOn = resolve
  })
  const task = { job: { route: 'all' }, wait: () => waited } as unknown as Task
  const pairs = new Pairs(environment, task, {} as StoreConnections, end, end, true)
  let [looks, underWay, most] = [0, 0, 0]
  pairs.exact.compare = async () => {
    looks++
    most = Math.max(most, ++underWay)
    await new Promise((resolve) => setImmediate(resolve))
    underWay--
    return DIFFERENT
  }
  const outcomes = Promise.all(Array.from({ length: MANY }, (_, i) => pairs.confirmed(0, Buffer.from(`key ${i}`))))
  await eventually(() => expect(looks).toBe(MANY))
  goOn()
  expect((await outcomes).every(({ kind }) => kind === 'different')).toBe(true)
  expect(looks).toBe(4 * MANY)
  expect(most).toBeLessThanOrEqual(256)
})

test('while keys wait for a copy others are looked at, and each of them a few times only', async () => {
  let goOn = (): void => {}
  const waited = new Promise<void>((resolve) => {
    goOn = resolve
  })
  const task = { job: { route: 'all' }, wait: () => waited } as unknown as Task
  const pairs = new Pairs(environment, task, {} as StoreConnections, end, end, true)
  let looks = 0
  pairs.exact.compare = async () => {
    looks++
    return { kind: 'unsettled', reason: WAITS_FOR_COPY }
  }
  const outcomes = Promise.all(Array.from({ length: MANY }, (_, i) => pairs.confirmed(0, Buffer.from(`key ${i}`))))
  await eventually(() => expect(looks).toBe(MANY))
  goOn()
  expect((await outcomes).every(({ kind }) => kind === 'waiting')).toBe(true)
  expect(looks).toBe(4 * MANY)
})
