import { expect, test } from 'vitest'
import type { RouteStatus } from '../../src/admin/control.ts'
import { problemsOf } from '../../src/admin/route-problems.ts'
import { idOfFunction, idOfUnread } from '../../src/routing/script-id.ts'
import { FakeControl } from './fake-control.ts'

test('functions that could not be read are told apart from those that make names of keys themselves', async () => {
  const { jobs } = (await new FakeControl().status()).routes as { jobs: RouteStatus }
  const scriptsInDoubt = [idOfUnread('a'), idOfFunction('b'), idOfUnread('c')]
  const mirror = { ...jobs.mirror, needsVerify: false, verifyCauses: [], scriptsInDoubt }
  expect(problemsOf({ ...jobs, mirror }).map(({ text }) => text)).toEqual([
    'scripts or functions that make names of keys themselves: 1 (function b); under other names they reach the wrong keys',
    expect.stringMatching(
      /^functions that their store does not let be read: 2 \(function a, \.\.\.\); .*the right to FUNCTION LIST$/,
    ),
  ])
})
