import { expect, test } from 'vitest'
import type { Phase } from '../../src/config/config.ts'
import { configIn, gatesOf } from '../support/gates.ts'

const MINUTE_MS = 60_000

/** The gate on slots; null: the step has none. */
async function gateOf(from: Phase, to: Phase, agoMs: number | null, target = 'redis+cluster://127.0.0.1:2') {
  const crossSlots = agoMs === null ? [] : [{ command: 'SUNION', count: 12, lastAgoMs: agoMs }]
  const seen = await gatesOf(configIn(from, { target }), configIn(to, { target }), { all: { crossSlots } })
  const found = seen.find(({ reason }) => reason.includes('CROSSSLOT'))
  return found === undefined ? null : `${found.open ? 'open' : 'closed'}: ${found.reason}`
}

test('writes do not move to a cluster that would answer CROSSSLOT to what came in the last hour', async () => {
  for (const from of ['shadow', 'read-target'] as const)
    expect(await gateOf(from, 'switched', 5 * MINUTE_MS)).toMatch(/^closed: cluster 'new' would .*: SUNION 12\. Let/)
  expect(await gateOf('shadow', 'switched', 90 * MINUTE_MS)).toMatch(/^open: no command .*; before that: SUNION 12$/)
  expect(await gateOf('shadow', 'switched', null)).toMatch(/^open: no command/)
})

test('reads fall back to the source, and nothing stands in the way of a way back or of another target', async () => {
  expect(await gateOf('shadow', 'read-target', MINUTE_MS)).toBeNull()
  expect(await gateOf('switched', 'shadow', MINUTE_MS)).toBeNull()
  expect(await gateOf('shadow', 'switched', MINUTE_MS, 'redis://127.0.0.1:2')).toBeNull()
})
