import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { mapReplyKeys, repliesWithKeys } from '../../src/command/reply-keys.ts'
import { CommandTable } from '../../src/command/table.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import { decodeReply } from '../../src/resp/decode.ts'
import { encodeReply } from '../../src/resp/encode.ts'
import { ErrorReply, type Reply } from '../../src/resp/reply.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { WireClient } from '../support/wire-client.ts'

const table = CommandTable.builtin()
let server: RedisServer

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

/** The store's names begin with `new:`; `new:hidden` is not the application's. */
function applicationName(key: Buffer): Buffer | null {
  const name = key.toString()
  return name === 'new:hidden' ? null : Buffer.from(name.replace(/^new:/, ''))
}

function mapped(line: string, reply: Reply): Reply | null {
  const args = line.split(' ').map((arg) => Buffer.from(arg))
  return mapReplyKeys(table.lookup(viewOf(args))!, args, reply, applicationName)
}

describe.each([2, 3] as const)('in RESP%i', (protocol) => {
  let client: WireClient
  beforeEach(async () => {
    client = await WireClient.open(server.port)
    await client.call('FLUSHALL')
    await client.call('HELLO', protocol)
    await client.call('RPUSH', 'new:l', 'new:a', 'new:b')
    await client.call('ZADD', 'new:z', 1, 'new:a', 2, 'new:b')
    await client.call('XADD', 'new:x', '1-1', 'new:f', 'new:v')
    await client.call('XGROUP', 'CREATE', 'new:x', 'g', 0)
  })

  test.each([
    'BLPOP new:l 1',
    'BRPOP none new:l 1',
    'LMPOP 1 new:l LEFT COUNT 2',
    'BLMPOP 1 1 new:l LEFT',
    'BZPOPMIN new:z 1',
    'BZPOPMAX new:z 1',
    'ZMPOP 1 new:z MIN COUNT 2',
    'BZMPOP 1 1 new:z MAX',
    'XREAD STREAMS new:x 0',
    'XREADGROUP GROUP g c STREAMS new:x >',
  ])('%s: the key changes, what was taken from it does not', async (line) => {
    const frame = await client.frame(...line.split(' '))
    const reply = mapped(line, decodeReply(frame, 0, frame.length))
    const expected = frame.toString().replace(/\$5\r\nnew:([lzx])\r\n/, '$$1\r\n$1\r\n')
    expect(expected).not.toBe(frame.toString())
    expect(encodeReply(reply!, protocol).toString()).toBe(expected)
  })

  test('KEYS and SCAN give the application its own names and leave out what is not its own', async () => {
    await client.call('SET', 'new:hidden', 1)
    const keys = mapped('KEYS *', await client.call('KEYS', '*')) as Buffer[]
    expect(keys.map(String).sort()).toEqual(['l', 'x', 'z'])
    const [cursor, page] = mapped('SCAN 0', await client.call('SCAN', 0)) as [Buffer, Buffer[]]
    expect(String(cursor)).toBe('0')
    expect(page.map(String).sort()).toEqual(['l', 'x', 'z'])
  })

  test('RANDOMKEY', async () => {
    expect(['l', 'x', 'z']).toContain(String(mapped('RANDOMKEY', await client.call('RANDOMKEY'))))
  })

  test('a reply without keys goes out as it came', async () => {
    for (const line of [
      'BLPOP none 0.001',
      'LMPOP 1 none LEFT',
      'XREAD STREAMS none 0',
      'GET none',
      'LRANGE new:l 0 -1',
    ]) {
      expect(mapped(line, await client.call(...line.split(' '))), line).toBeNull()
    }
    expect(mapped('BLPOP a 1', new ErrorReply('WRONGTYPE x'))).toBeNull()
  })
})

test('only replies with keys need to be decoded', () => {
  expect(repliesWithKeys(table.byName('BLPOP')!)).toBe(true)
  for (const name of ['GET', 'LPOP', 'HGETALL', 'COMMAND GETKEYS', 'ZPOPMIN']) {
    expect(repliesWithKeys(table.byName(name)!), name).toBe(false)
  }
})
