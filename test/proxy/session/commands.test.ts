import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'

let direct: RedisServer
let store: RedisServer
let path: DataPathUnderTest

beforeAll(async () => {
  ;[direct, store] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({ stores: { only: store } })
})
afterAll(async () => {
  await path.stop()
  await Promise.all([direct.stop(), store.stop()])
})
beforeEach(async () => {
  for (const server of [direct, store]) {
    const client = await RawClient.open(server.port)
    await client.ask('FLUSHALL')
    client.destroy()
  }
})

const BINARY = Buffer.from([0, 13, 10, 36, 42, 255, 128, 34, 39, 92])

/** One after the other on one connection: what they answer depends on what came before. */
const COMMANDS: readonly (readonly (string | Buffer)[])[] = [
  ['PING'],
  ['ping', 'hello'],
  ['PING', 'one', 'two'],
  ['ECHO', BINARY],
  ['SET', 'k', 'v'],
  ['GET', 'k'],
  ['gEt', 'k'],
  ['GET'],
  ['GET', 'k', 'k'],
  ['GET', 'missing'],
  ['SET', 'k', 'v', 'NX'],
  ['SET', 'k', 'v', 'NONSENSE'],
  ['SET', BINARY, BINARY],
  ['GET', BINARY],
  ['SET', '', 'the empty key'],
  ['GET', ''],
  ['NOSUCHCOMMAND', 'a', 'b'],
  ['nosuch command'],
  ['', 'x'],
  [BINARY, BINARY],
  ['INCR', 'n'],
  ['INCR', 'k'],
  ['INCRBYFLOAT', 'f', '0.1'],
  ['MSET', 'a', '1', 'b', '2'],
  ['MSET', 'a', '1', 'b'],
  ['MGET', 'a', 'missing', 'b'],
  ['DEL', 'a', 'b', 'missing'],
  ['RPUSH', 'list', 'a', 'b', 'c'],
  ['LRANGE', 'list', '0', '-1'],
  ['LRANGE', 'list', 'x', 'y'],
  ['LPUSH', 'k', 'wrong type'],
  ['LMPOP', '1', 'list', 'LEFT', 'COUNT', '2'],
  ['HSET', 'hash', 'f', 'v', 'g', 'w'],
  ['HGETALL', 'hash'],
  ['HGETALL', 'missing'],
  ['HGET', 'hash', 'missing'],
  ['SADD', 'set', 'only'],
  ['SMEMBERS', 'set'],
  ['SISMEMBER', 'set', 'only'],
  ['ZADD', 'zset', '1.5', 'a', '2', 'b', 'inf', 'c'],
  ['ZRANGE', 'zset', '0', '-1', 'WITHSCORES'],
  ['ZSCORE', 'zset', 'a'],
  ['ZSCORE', 'zset', 'missing'],
  ['ZPOPMIN', 'zset'],
  ['XADD', 'stream', '1-1', 'f', 'v'],
  ['XADD', 'stream', '1-1', 'f', 'v'],
  ['XRANGE', 'stream', '-', '+'],
  ['XREAD', 'STREAMS', 'stream', '0'],
  ['XREAD', 'STREAMS', 'stream', '$'],
  ['XGROUP', 'CREATE', 'stream', 'g', '0'],
  ['XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'stream', '>'],
  ['XINFO', 'GROUPS', 'stream'],
  ['XGROUP', 'NONSENSE', 'stream'],
  ['XGROUP'],
  ['EVAL', 'return {1, "two", false, {3.7}}', '0'],
  ['EVAL', 'return redis.error_reply("MY OWN")', '0'],
  ['EVAL', 'redis.setresp(3); return redis.call("HGETALL", KEYS[1])', '1', 'hash'],
  ['EVAL', 'return redis.call("GET")', '0'],
  ['EVALSHA', 'ffffffffffffffffffffffffffffffffffffffff', '0'],
  ['SCRIPT', 'EXISTS', 'ffffffffffffffffffffffffffffffffffffffff'],
  ['TYPE', 'hash'],
  ['OBJECT', 'ENCODING', 'list'],
  ['OBJECT', 'NONSENSE', 'list'],
  ['EXPIRE', 'k', '100'],
  ['TTL', 'k'],
  ['SCAN', '0', 'COUNT', '1000', 'MATCH', 'hash'],
  ['DBSIZE'],
  ['COMMAND', 'COUNT'],
  ['COMMAND', 'GETKEYS', 'MSET', 'a', '1', 'b', '2'],
  ['CONFIG', 'GET', 'maxmemory-policy'],
  ['DEBUG', 'PROTOCOL', 'nonsense'],
  ['GETEX', 'k', 'PERSIST'],
  ['COPY', 'k', 'k2'],
  ['BITFIELD', 'bits', 'SET', 'u8', '0', '255', 'GET', 'u8', '0'],
  ['GEOADD', 'geo', '13.361389', '38.115556', 'Palermo'],
  ['GEOPOS', 'geo', 'Palermo', 'missing'],
  ['PFADD', 'hll', 'a', 'b'],
  ['PFCOUNT', 'hll'],
  ['SUBSTR', 'k', '0', '0'],
  ['PUBLISH', 'nobody', 'x'],
  ['PUBSUB', 'NUMSUB', 'nobody'],
  ['WAIT', '0', '10'],
  ['FLUSHDB'],
  ['DBSIZE'],
  ['SELECT'],
  ['SELECT', 'x'],
  ['SELECT', '99999'],
  ['SELECT', '-1'],
  ['SELECT', '3'],
  ['SET', 'in', 'three'],
  ['MOVE', 'in', '4'],
  ['SELECT', '4'],
  ['GET', 'in'],
  ['SELECT', '0'],
  ['AUTH', 'secret'],
  ['AUTH', 'default', 'secret'],
  ['AUTH', 'somebody', 'secret'],
  ['AUTH'],
  ['AUTH', 'a', 'b', 'c'],
  ['HELLO', 'x'],
  ['HELLO', '4'],
  ['HELLO', '2', 'NONSENSE'],
  ['CLIENT'],
  ['CLIENT', 'NONSENSE'],
  ['CLIENT', 'GETNAME'],
  ['CLIENT', 'SETNAME', 'with space'],
  ['CLIENT', 'SETNAME', 'me'],
  ['CLIENT', 'GETNAME'],
  ['CLIENT', 'GETREDIR'],
  ['CLIENT', 'NO-EVICT', 'ON'],
  ['CLIENT', 'NO-EVICT', 'PERHAPS'],
  ['CLIENT', 'REPLY', 'PERHAPS'],
  ['CLIENT', 'KILL', '1.2.3.4:5'],
  ['CLIENT', 'KILL', 'ID', '0'],
  ['CLIENT', 'KILL', 'ID', '999999999'],
  ['CLIENT', 'KILL', 'NONSENSE', '1'],
  ['CLIENT', 'LIST', 'TYPE', 'nonsense'],
  ['CLIENT', 'LIST', 'NONSENSE'],
  ['EXEC'],
  ['DISCARD'],
  ['UNWATCH'],
  ['MULTI', 'x'],
  ['READONLY'],
  ['RESET'],
]

/** As one types them. */
const INLINE: readonly string[] = [
  'PING\r\n',
  'PING\n',
  '   PING   \r\n',
  '\r\n',
  'SET inline "a \\x41 \\n value"\r\n',
  'GET inline\r\n',
  "SET 'single quoted' 'it\\'s'\r\n",
  "GET 'single quoted'\r\n",
  'nosuch\r\n',
  'GET\r\n',
]

describe.each([2, 3])('commands over RESP%i', (protocol) => {
  const open = async (port: number) => {
    const client = await RawClient.open(port)
    const greeting = await client.ask('HELLO', protocol)
    expect(greeting).toMatch(protocol === 3 ? /^%7/ : /^\*14/)
    return client
  }

  test('are answered byte for byte as by the server itself', async () => {
    const there = await open(direct.port)
    const here = await open(path.port)
    for (const command of COMMANDS) {
      expect([command, await here.ask(...command)]).toEqual([command, await there.ask(...command)])
    }
    here.destroy()
    there.destroy()
  })

  test('are answered so when they come in one packet, too', async () => {
    const [there, here] = [await open(direct.port), await open(path.port)]
    const bytes = Buffer.concat(COMMANDS.map((command) => encodeCommand(command)))
    there.send(bytes)
    here.send(bytes)
    const [expected, got] = [await there.take(COMMANDS.length), await here.take(COMMANDS.length)]
    for (const [i, command] of COMMANDS.entries()) expect([command, got[i]]).toEqual([command, expected[i]])
    here.destroy()
    there.destroy()
  })
})

test('inline commands are understood', async () => {
  const [there, here] = [await RawClient.open(direct.port), await path.raw()]
  for (const line of INLINE) {
    there.send(line)
    here.send(line)
    if (line.trim() !== '') expect([line, await here.text()]).toEqual([line, await there.text()])
  }
  there.destroy()
})

test('a stream of commands may be split at any byte', async () => {
  const stream = Buffer.concat([
    encodeCommand(['SET', 'a', BINARY]),
    Buffer.from('GET a\r\n'),
    encodeCommand(['GET', 'a']),
    Buffer.from('*0\r\n*-1\r\n\r\n'),
    encodeCommand(['NOSUCH']),
    encodeCommand(['MGET', 'a', 'b', 'c']),
    encodeCommand(['SELECT', 2]),
    encodeCommand(['GET', 'a']),
    encodeCommand(['SELECT', 0]),
    encodeCommand(['MULTI']),
    encodeCommand(['INCR', 'n']),
    encodeCommand(['EXEC']),
    encodeCommand(['DEL', 'a', 'n']),
    encodeCommand(['EVAL', 'return {1,{2,{3}}}', 0]),
    encodeCommand(['RPUSH', 'list', 'x']),
    encodeCommand(['BLPOP', 'no', 'list', '1']),
    Buffer.from('PING "last one"\n'),
  ])
  const there = await RawClient.open(direct.port)
  there.send(stream)
  const expected = await there.take(16)
  there.destroy()
  const here = await path.raw()
  for (let at = 1; at < stream.length; at++) {
    await here.sendApart(stream.subarray(0, at))
    here.send(stream.subarray(at))
    expect([at, await here.take(16)]).toEqual([at, expected])
  }
})

test('a stream of commands may come byte by byte', async () => {
  const stream = encodeCommand(['SET', 'a', BINARY])
  const here = await path.raw()
  for (const bytes of [stream, Buffer.from('PING x\r\n'), encodeCommand(['GET', 'a'])]) {
    for (const byte of bytes) await here.sendApart(Buffer.from([byte]))
  }
  expect(await here.take(3)).toEqual(['+OK\r\n', '$1\r\nx\r\n', `$10\r\n${BINARY.toString('latin1')}\r\n`])
})
