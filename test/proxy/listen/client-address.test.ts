import { expect, test } from 'vitest'
import { clientAddress } from '../../../src/proxy/listen/client-address.ts'

test('an address is written as Redis writes it', () => {
  expect(clientAddress('127.0.0.1', 5)).toBe('127.0.0.1:5')
  expect(clientAddress('::1', 5)).toBe('[::1]:5')
  expect(clientAddress('::ffff:10.0.0.1', 5)).toBe('10.0.0.1:5')
  expect(clientAddress('/run/a:b.sock', 0)).toBe('/run/a:b.sock:0')
  expect(clientAddress(undefined, undefined)).toBe('?:0')
})
