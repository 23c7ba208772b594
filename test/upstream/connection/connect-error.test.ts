import { expect, test } from 'vitest'
import { parseConfig } from '../../../src/config/file/load.ts'
import { connectReason } from '../../../src/upstream/connection/connect-error.ts'

const TEXT = `
stores: { old: "redis://old.example:6379" }
routes: [{ name: all, keys: ["*"], source: old, phase: passthrough }]
`

test.each([
  ['ENOTFOUND', 'this host name is not known here'],
  ['EAI_AGAIN', 'no name server could be asked for this host name'],
])('of %s is said what it means', (code, meaning) => {
  const store = parseConfig(TEXT, { path: 'understudy.yaml', env: {} }).config.stores['old']!
  const error = Object.assign(new Error(`getaddrinfo ${code} old.example`), { code })
  expect(connectReason(error, store, false)).toBe(`getaddrinfo ${code} old.example: ${meaning}`)
})
