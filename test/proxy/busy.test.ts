import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

let store: RedisServer
let path: DataPathUnderTest

beforeEach(async () => {
  store = await startRedis({ args: ['--busy-reply-threshold', '10'] })
  path = await startDataPath({ stores: { store }, store: { timeoutMs: 60_000 } })
})
afterEach(async () => {
  await path.stop()
  await store.stop()
})

const ENDLESS = 'while true do end'

/** The answer to a command of a new client, or nothing for a while: what is sent before the store is known to be busy waits for the script. */
async function told(...command: string[]): Promise<string> {
  const client = await path.raw()
  return Promise.race([client.ask(...command), setTimeout(200, 'nothing yet')])
}

test('while a script runs on the shared connection others are told BUSY, as by the store, and SCRIPT KILL ends it', async () => {
  const [culprit, other] = [await path.raw(), await path.raw()]
  const elsewhere = await path.raw()
  expect(await elsewhere.ask('SELECT', '7')).toBe('+OK\r\n')
  culprit.command('EVAL', ENDLESS, '0')
  for (const command of [['PING'], ['SET', 'k', 'v'], ['BLPOP', 'l', '0'], ['MGET', 'a', 'b']]) {
    await eventually(async () => expect(await told(...command)).toMatch(/^-BUSY Redis is busy running a script/))
  }
  expect(await elsewhere.ask('SCRIPT', 'KILL')).toBe('+OK\r\n')
  expect(await culprit.text()).toMatch(/^-.*[Ss]cript killed/)
  await eventually(async () => expect(await other.ask('PING')).toBe('+PONG\r\n'))
  // None of what was answered BUSY has been executed.
  expect(await other.ask('EXISTS', 'k')).toBe(':0\r\n')
})

test('a function in a transaction keeps others no longer either', async () => {
  const [culprit, other] = [await path.raw(), await path.raw()]
  const code = `#!lua name=test\nredis.register_function('forever', function() while true do end end)`
  expect(await other.ask('FUNCTION', 'LOAD', code)).toBe('$4\r\ntest\r\n')
  for (const command of [['MULTI'], ['FCALL', 'forever', '0'], ['EXEC']]) culprit.command(...command)
  await eventually(async () => expect(await told('GET', 'k')).toMatch(/^-BUSY/))
  expect(await other.ask('FUNCTION', 'STATS')).toContain('forever')
  expect(await other.ask('FUNCTION', 'KILL')).toBe('+OK\r\n')
  await eventually(async () => expect(await other.ask('GET', 'k')).toBe('$-1\r\n'))
})

test('a slow script that ends by itself is only waited for by what was sent before', async () => {
  const [slow, other] = [await path.raw(), await path.raw()]
  slow.command('EVAL', 'local n = 0; for i = 1, 15e7 do n = n + 1 end; return n', '0')
  await eventually(async () => expect(await told('PING')).toMatch(/^-BUSY/))
  expect(await slow.text()).toBe(':150000000\r\n')
  expect(await other.ask('PING')).toBe('+PONG\r\n')
})
