import type { Redis } from 'ioredis'

type Command = readonly (string | number)[]

/** One kind of difference: what the application writes, what somebody does to the shadow, and the read that has to show it. `K` is the key, `L` another one. */
export interface Plant {
  readonly kind: string
  readonly write: readonly Command[]
  readonly tamper: readonly Command[]
  readonly read: Command
  readonly class: string
}

export const PLANTS: readonly Plant[] = [
  plant('value', 'SET K a', 'SET K b', 'GET K', 'value'),
  plant('long value', `SET K ${'x'.repeat(5_000)}`, 'SETRANGE K 4321 y', 'GET K', 'value'),
  plant('a range of it', 'SET K abcdef', 'SETRANGE K 2 x', 'GETRANGE K 1 3', 'value'),
  plant('counter', 'SET K 5; INCR K', 'INCR K', 'GET K', 'value'),
  plant('missing', 'SET K a', 'DEL K', 'GET K', 'missing'),
  plant('missing, asked by EXISTS', 'SET K a', 'DEL K', 'EXISTS K', 'missing'),
  plant('missing, one of several', 'MSET K a L a', 'DEL K', 'MGET K L', 'missing'),
  plant('extra', '', 'SET K a', 'GET K', 'extra'),
  plant('extra list', '', 'RPUSH K a', 'LRANGE K 0 -1', 'extra'),
  plant('type', 'SET K a', 'DEL K; RPUSH K a', 'GET K', 'type'),
  plant('type, asked by TYPE', 'RPUSH K a', 'DEL K; SET K a', 'TYPE K', 'type'),
  plant('type of a container', 'HSET K f v', 'DEL K; SADD K f', 'HGETALL K', 'type'),
  plant('empty text against nothing', 'SET K ""', 'DEL K', 'GET K', 'missing'),
  plant('nothing against empty text', '', 'SET K ""', 'GET K', 'extra'),
  plant('empty text against a text', 'SET K ""', 'SET K a', 'GET K', 'value'),
  plant('length of a text', 'SET K abc', 'APPEND K d', 'STRLEN K', 'length'),
  plant('bit', 'SETBIT K 7 1', 'SETBIT K 9 1', 'BITCOUNT K', 'value'),
  plant('list tail', 'RPUSH K a b c', 'RPOP K', 'LRANGE K 0 -1', 'length'),
  plant('list head', 'RPUSH K a b c', 'LSET K 0 x', 'LINDEX K 0', 'value'),
  plant('list order', 'RPUSH K a b c', 'LSET K 0 c; LSET K 2 a', 'LRANGE K 0 -1', 'order'),
  plant('list length', 'RPUSH K a b c', 'RPUSH K d', 'LLEN K', 'length'),
  plant('hash field', 'HSET K f v g w', 'HSET K f x', 'HGETALL K', 'value'),
  plant('hash field, asked alone', 'HSET K f v g w', 'HSET K f x', 'HGET K f', 'value'),
  plant('hash field lacking', 'HSET K f v g w', 'HDEL K f', 'HMGET K f g', 'missing'),
  plant('hash field too many', 'HSET K f v', 'HSET K g w', 'HKEYS K', 'length'),
  plant('TTL', 'SET K a EX 1000', 'EXPIRE K 500', 'PTTL K', 'ttl'),
  plant('TTL lost', 'SET K a EX 1000', 'PERSIST K', 'TTL K', 'ttl'),
  plant('TTL gained', 'HSET K f v', 'EXPIRE K 1000', 'PEXPIRETIME K', 'ttl'),
  plant('set member', 'SADD K a b c', 'SREM K b', 'SMEMBERS K', 'length'),
  plant('set member, asked alone', 'SADD K a b c', 'SREM K b', 'SISMEMBER K b', 'value'),
  plant('set member exchanged', 'SADD K a b', 'SREM K b; SADD K x', 'SMEMBERS K', 'value'),
  plant('intersection', 'SADD K a b; SADD L a b', 'SREM K b', 'SINTER K L', 'length'),
  plant('score', 'ZADD K 1 a 2 b', 'ZINCRBY K 0.5 a', 'ZRANGE K 0 -1 WITHSCORES', 'value'),
  plant('score, asked alone', 'ZADD K 1 a 2 b', 'ZADD K 1.25 a', 'ZSCORE K a', 'value'),
  plant('rank', 'ZADD K 1 a 2 b', 'ZADD K 3 a', 'ZRANGE K 0 -1', 'order'),
  plant('sorted set member', 'ZADD K 1 a 2 b', 'ZREM K b', 'ZRANGEBYSCORE K 0 9', 'length'),
  plant('stream entry lacking', 'XADD K 1-1 f v; XADD K 2-1 f v', 'XDEL K 2-1', 'XRANGE K - +', 'length'),
  plant('stream entry changed', 'XADD K 1-1 f v', 'DEL K; XADD K 1-1 f x', 'XRANGE K - +', 'value'),
  plant('stream read', 'XADD K 1-1 f v', 'XADD K 2-1 f v', 'XREAD COUNT 9 STREAMS K 0', 'value'),
  plant('place', 'GEOADD K 13.3 38.1 p', 'GEOADD K 13.4 38.1 p', 'GEOPOS K p', 'value'),
]

/** Keys that the load writes to all the time: the difference lies in a part that it leaves alone. */
export const LIVE_PLANTS: readonly Plant[] = [
  plant('a hash that is written', 'HSET K still v moving 0', 'HSET K still x', 'HGETALL K', 'value'),
  plant('a text that is written', 'SET K 0000000000', 'SETRANGE K 9 x', 'GET K', 'value'),
  plant('a set that is written', 'SADD K still', 'SREM K still', 'SISMEMBER K still', 'value'),
  plant('scores that are written', 'ZADD K 1 still 2 moving', 'ZADD K 9 still', 'ZSCORE K still', 'value'),
]

/** Writes to a live plant's key, by kind, that leave the difference where it is. */
export function liveWrite(plant: Plant, key: string, n: number): Command {
  switch (plant.read[0]) {
    case 'HGETALL':
      return ['HINCRBY', key, 'moving', 1]
    case 'GET':
      return ['SETRANGE', key, n % 8, String(n % 10)]
    case 'SISMEMBER':
      return [n % 2 === 0 ? 'SADD' : 'SREM', key, `m${n % 5}`]
    default:
      return ['ZINCRBY', key, 1, 'moving']
  }
}

/** The command with `K` and `L` replaced. */
export function named(command: Command, key: string): string[] {
  return command.map((part) => (part === 'K' ? key : part === 'L' ? `${key}:other` : String(part)))
}

export async function run(client: Redis, commands: readonly Command[], key: string): Promise<void> {
  for (const command of commands) {
    const [name, ...args] = named(command, key)
    await client.call(name!, ...args)
  }
}

function plant(kind: string, write: string, tamper: string, read: string, of: string): Plant {
  const commands = (text: string): Command[] => (text === '' ? [] : text.split('; ').map(parsed))
  return { kind, write: commands(write), tamper: commands(tamper), read: parsed(read), class: of }
}

function parsed(text: string): string[] {
  return text.split(' ').map((part) => (part === '""' ? '' : part))
}
