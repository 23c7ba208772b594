import fc from 'fast-check'
import { expect, test } from 'vitest'
import { slotOfKey } from '../../src/command/key-slot.ts'
import { freePort } from '../support/ports.ts'
import { startRedis } from '../support/redis.ts'

test('a key lies in the slot that a node of a cluster says, whatever its bytes and braces', async () => {
  const node = await startRedis({ args: ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())] })
  try {
    const bytes = fc.array(fc.oneof(fc.constantFrom(0x7b, 0x7d), fc.nat(255)), { maxLength: 12 })
    const keys = [
      ...['', 'foo', '{user}:1', '{}', '{}a}', 'a{}{b}', '{{x}}', 'x{a}{b}', '}{', '{open'].map((key) =>
        Buffer.from(key),
      ),
      ...fc.sample(bytes, 300).map((key) => Buffer.from(key)),
    ]
    const client = node.client()
    const slots = await Promise.all(keys.map((key) => client.call('CLUSTER', 'KEYSLOT', key)))
    expect(keys.map((key) => slotOfKey(key))).toEqual(slots)
  } finally {
    await node.stop()
  }
})
