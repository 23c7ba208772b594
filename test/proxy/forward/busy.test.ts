import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

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
/** A second and a half on any machine; where time stands still for a script, about as long. */
const SLOW = `
  local function now() local time = redis.call('time') return time[1] + time[2] / 1e6 end
  local began, n = now(), 0
  repeat n = n + 1 until (n % 1000 == 0 and now() - began > 1.5) or n == 1e8
  return 7`

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
  slow.command('EVAL', SLOW, '0')
  await eventually(async () => expect(await told('PING')).toMatch(/^-BUSY/))
  expect(await slow.text()).toBe(':7\r\n')
  expect(await other.ask('PING')).toBe('+PONG\r\n')
})

test('what was sent behind the script is told BUSY if it changes nothing; what its own client sends waits for its end', async () => {
  const [culprit, other, writer] = [await path.raw(), await path.raw(), await path.raw()]
  for (let round = 0; round < 3; round++) {
    culprit.send(Buffer.concat([encodeCommand(['EVAL', ENDLESS, '0']), encodeCommand(['PING'])]))
    await eventually(async () => expect(await other.ask('PING')).toMatch(/^-BUSY Redis is busy/))
    culprit.command('ECHO', 'behind')
    expect(await writer.ask('SET', 'k', 'v')).toMatch(/^-BUSY Redis is busy/)
    culprit.command('ECHO', 'far behind')
    expect(await other.ask('SCRIPT', 'KILL')).toBe('+OK\r\n')
    expect(await culprit.text()).toMatch(/^-.*[Ss]cript killed/)
    expect(await culprit.text()).toBe('+PONG\r\n')
    expect(await culprit.text()).toBe('$6\r\nbehind\r\n')
    expect(await culprit.text()).toBe('$10\r\nfar behind\r\n')
    expect(await other.ask('EXISTS', 'k')).toBe(':0\r\n')
  }
})

test('reads of one packet behind the script are told BUSY one by one', async () => {
  const [culprit, other] = [await path.raw(), await path.raw()]
  expect(await other.ask('MSET', 'a', '1', 'b', '2', 'c', '3')).toBe('+OK\r\n')
  const reads = Buffer.concat(['a', 'b', 'none', 'c'].map((key) => encodeCommand(['GET', key])))
  culprit.command('EVAL', ENDLESS, '0')
  other.send(reads)
  for (let i = 0; i < 4; i++) expect(await other.text()).toMatch(/^-BUSY Redis is busy/)
  expect(await other.ask('SCRIPT', 'KILL')).toBe('+OK\r\n')
  expect(await culprit.text()).toMatch(/^-.*[Ss]cript killed/)
  other.send(reads)
  for (const reply of ['$1\r\n1\r\n', '$1\r\n2\r\n', '$-1\r\n', '$1\r\n3\r\n']) expect(await other.text()).toBe(reply)
})

test('a script behind other commands of its packet is found, too', async () => {
  const [culprit, other] = [await path.raw(), await path.raw()]
  const code = `#!lua name=test\nredis.register_function('forever', function() while true do end end)`
  const packet = [['FUNCTION', 'LOAD', code], ['FCALL', 'forever', '0'], ['PING']]
  culprit.send(Buffer.concat(packet.map((command) => encodeCommand(command))))
  await eventually(async () => expect(await other.ask('PING')).toMatch(/^-BUSY/))
  expect(await other.ask('FUNCTION', 'KILL')).toBe('+OK\r\n')
  expect(await culprit.text()).toBe('$4\r\ntest\r\n')
  expect(await culprit.text()).toMatch(/^-.*[Ss]cript killed/)
  expect(await culprit.text()).toBe('+PONG\r\n')
})

test('a transaction that comes in one piece while a script runs is told BUSY command by command, as by the store', async () => {
  const [culprit, other, direct] = [await path.raw(), await path.raw(), await RawClient.open(store.port)]
  culprit.command('EVAL', ENDLESS, '0')
  await eventually(async () => expect(await other.ask('PING')).toMatch(/^-BUSY/))
  const packet = [['MULTI'], ['SET', 'k', 'v'], ['EXEC']]
  const answers = async (client: RawClient): Promise<string[]> => {
    client.send(Buffer.concat(packet.map((command) => encodeCommand(command))))
    return [await client.text(), await client.text(), await client.text()]
  }
  expect(await answers(other)).toEqual(await answers(direct))
  expect(await other.ask('SCRIPT', 'KILL')).toBe('+OK\r\n')
  await eventually(async () => expect(await other.ask('EXISTS', 'k')).toBe(':0\r\n'))
  direct.destroy()
})

test('what was held back behind a script and is told BUSY counts as an error, and not as lost', async () => {
  const [culprit, other] = [await path.raw(), await path.raw()]
  const writers = await Promise.all(Array.from({ length: 100 }, () => path.raw()))
  culprit.command('EVAL', ENDLESS, '0')
  // One after the other, so that some come when nothing is written any more and nobody knows yet that the store is busy.
  for (const writer of writers) {
    writer.command('SET', 'k', 'v')
    await setTimeout(1)
  }
  await eventually(async () => expect(await told('PING')).toMatch(/^-BUSY/))
  expect(await other.ask('SCRIPT', 'KILL')).toBe('+OK\r\n')
  const answers = await Promise.all(writers.map((writer) => writer.text()))
  expect(answers.filter((answer) => !/^(\+OK|-BUSY)/.test(answer))).toEqual([])
  expect(path.runtime.stats().routes.all!.counters.primaryLost).toBe(0)
})
