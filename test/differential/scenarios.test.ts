import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { RawClient } from '../support/raw-client.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

/** Sessions of several clients, step by step, at a server and through Understudy: what each client reads is the same. */

let direct: RedisServer
let source: RedisServer
let target: RedisServer
let paths: Record<'shared' | 'dedicated', DataPathUnderTest>

beforeAll(async () => {
  ;[direct, source, target] = await Promise.all([startRedis(), startRedis(), startRedis()])
  const start = async (connections: 'shared' | 'dedicated') => {
    const path = await startDataPath({
      stores: { source, target },
      routes: [{ name: 'all', source: 'source', target: 'target', phase: 'shadow', compare: { sample: 1 } }],
      listen: { connections },
    })
    path.runtime.setFacts('source', 0, '7.0.15')
    return path
  }
  paths = { shared: await start('shared'), dedicated: await start('dedicated') }
})
afterAll(async () => {
  await Promise.all([paths.shared.stop(), paths.dedicated.stop()])
  await Promise.all([direct.stop(), source.stop(), target.stop()])
})
beforeEach(async () => {
  for (const server of [direct, source, target]) {
    const admin = await RawClient.open(server.port)
    await admin.ask('FLUSHALL')
    admin.destroy()
  }
})

/**
 * `name: COMMAND` sends and reads one reply; `name> COMMAND` sends only, `name> COMMAND ; COMMAND` several in one packet; `name<` reads one
 * frame; `name closed` waits for the end of the connection. `flags ` or `multi ` before it: only that field of CLIENT LIST is looked at. `$name` is
 * that client's id, `@name` its address.
 */
const SCENARIOS: Readonly<Record<string, string>> = {
  'SELECT inside MULTI holds for what is behind it': `
    a: MULTI
    a: SET k zero
    a: SELECT 3
    a: SET k three
    a: EXEC
    a: GET k
    a: SELECT 0
    a: GET k
    a: MULTI
    a: SELECT 99
    a: SET k again
    a: EXEC
    a: GET k
    a: MULTI
    a: SELECT 5
    a: DISCARD
    a: GET k`,
  'SELECT between WATCH and MULTI': `
    a: WATCH k
    a: SELECT 3
    a: SET other x
    a: MULTI
    a: SET k v
    a: EXEC
    a: GET k
    a: WATCH k
    a: SELECT 0
    b: SELECT 3
    b: SET k changed
    a: MULTI
    a: PING
    a: EXEC
    a: DBSIZE`,
  'WATCH, UNWATCH, DISCARD and a change of what is watched': `
    a: WATCH k l
    b: SET k 1
    a: MULTI
    a: INCR k
    a: EXEC
    a: WATCH k
    b: SET k 2
    a: UNWATCH
    a: MULTI
    a: INCR k
    a: EXEC
    a: WATCH k
    a: MULTI
    a: WATCH l
    a: INCR k
    a: EXEC
    a: WATCH k
    b: SET k 5
    a: MULTI
    a: DISCARD
    a: MULTI
    a: GET k
    a: EXEC
    a: WATCH k
    b: DEL k
    a: MULTI
    a: MULTI
    a: DISCARD`,
  'errors while queueing abort, errors while executing do not': `
    a: MULTI
    a: SET k
    a: SET k v
    a: EXEC
    a: MULTI
    a: NOSUCHCOMMAND
    a: EXEC
    a: MULTI
    a: SET k v
    a: INCR k
    a: GET k
    a: EXEC
    a: MULTI
    a: EXEC x
    a: EXEC
    a: EXEC
    a: DISCARD`,
  'what Understudy answers itself takes its place in EXEC': `
    a: MULTI
    a: CLIENT SETNAME me
    a: SET k v
    a: CLIENT GETNAME
    a: CLIENT KILL ID 123456789
    a: CLIENT LIST ID 123456789
    a: GET k
    a: AUTH x
    a: EXEC
    a: CLIENT GETNAME`,
  'CLIENT KILL by id, address, type, name of the user; of oneself': `
    a: CLIENT SETNAME a
    b: CLIENT SETNAME b
    a: CLIENT KILL ID $b
    b closed
    c: PING
    a: CLIENT KILL @c
    c closed
    d: SUBSCRIBE ch
    a: CLIENT KILL TYPE pubsub
    d closed
    e: PING
    a: CLIENT KILL USER default ADDR @e
    e closed
    f: PING
    a: CLIENT KILL ID $a ADDR @f
    a: CLIENT KILL ADDR @a SKIPME no
    a closed`,
  'CLIENT REPLY': `
    a> CLIENT REPLY OFF
    a> SET k v
    a> PING
    a: CLIENT REPLY ON
    a> CLIENT REPLY SKIP
    a> GET nothing
    a: GET k
    a> CLIENT REPLY SKIP
    a> CLIENT REPLY SKIP
    a> PING
    a: PING`,
  'a client that is killed is none any more for the command behind it': `
    b> BLPOP nothing 0
    wait blocked b
    a> CLIENT KILL ID $b ; CLIENT KILL ID $b ; CLIENT UNBLOCK $b ; CLIENT LIST ID $b ; CLIENT KILL @c ; CLIENT KILL @c
    a<
    a<
    a<
    a<
    a<
    a<
    b closed
    c closed`,
  'a client is killed behind what was said before': `
    b: SUBSCRIBE ch
    b: PSUBSCRIBE c*
    a> PUBLISH ch message ; PUBSUB NUMSUB ch ; PUBSUB NUMPAT ; CLIENT KILL ID $b
    a<
    a<
    a<
    a<`,
  'CLIENT REPLY inside MULTI': `
    a> MULTI ; PING one ; CLIENT REPLY SKIP ; PING two ; EXEC ; PING skipped ; PING told
    a<
    a<
    a<
    a<
    a<
    b> MULTI ; PING one ; CLIENT REPLY OFF ; PING two ; EXEC ; PING three ; MULTI ; CLIENT REPLY ON ; PING four ; EXEC ; ECHO end
    b<
    b<
    b<
    b<
    b<
    b<
    c> MULTI ; CLIENT REPLY SKIP ; CLIENT REPLY ON ; EXEC ; PING skipped ; PING told
    c<
    c<
    c<
    c<`,
  'CLIENT REPLY before RESET': `
    a> CLIENT REPLY SKIP ; RESET ; PING one ; PING two
    a<
    a<
    a> CLIENT REPLY OFF ; RESET ; PING three
    a<
    a<
    a> CLIENT REPLY SKIP ; MULTI ; CLIENT REPLY SKIP ; RESET ; PING four ; EXEC
    a<
    a<
    a<
    a: PING`,
  'CLIENT REPLY OFF and subscriptions inside MULTI': `
    a> CLIENT REPLY OFF ; MULTI ; PING one ; SUBSCRIBE ch ; PSUBSCRIBE p* ; PING two ; UNSUBSCRIBE ch none ; PUNSUBSCRIBE ; EXEC ; CLIENT REPLY ON ; PING three
    a<
    a<
    a<
    a<
    a<
    a<
    a<
    b: MULTI
    b: UNSUBSCRIBE
    b: CLIENT REPLY OFF
    b: UNSUBSCRIBE ch
    b> EXEC ; PING silent ; CLIENT REPLY ON ; ECHO end
    b<
    b<`,
  'CLIENT REPLY SKIP before MULTI, behind WATCH, and of a subscription': `
    a> CLIENT REPLY SKIP ; MULTI ; PING one ; EXEC
    a<
    a<
    a> WATCH k ; CLIENT REPLY SKIP ; GET skipped ; GET told ; PING too
    a<
    a<
    a<
    a> CLIENT REPLY SKIP ; SUBSCRIBE ch ; PING told
    a<
    a<
    a> CLIENT REPLY SKIP ; PING skipped ; PING told
    a<
    a: PING
    a: RESET
    a<
    a<
    a> CLIENT REPLY OFF ; SUBSCRIBE ch ; PING silent
    a<
    b: PUBLISH ch message
    a<
    a> RESET
    a<
    a: PING`,
  'RESET leaves CLIENT NO-EVICT to servers that forget it': `
    a: CLIENT NO-EVICT on
    a: RESET
    flags b: CLIENT LIST ID $a
    a: CLIENT NO-EVICT off
    flags b: CLIENT LIST ID $a`,
  'a transaction counts what it has queued until something is wrong': `
    a: MULTI
    multi b: CLIENT LIST ID $a
    a: SET k v
    multi b: CLIENT LIST ID $a
    a: GET
    a: SET k w
    multi b: CLIENT LIST ID $a
    a: DISCARD
    a: MULTI
    a: NOSUCHCOMMAND
    a: SET k w
    multi b: CLIENT LIST ID $a
    a: EXEC
    multi b: CLIENT LIST ID $a
    a: MULTI
    a: GET k
    a: OBJECT NOSUCH
    a: SET k w
    multi b: CLIENT LIST ID $a
    a: DISCARD`,
  'CLIENT UNBLOCK': `
    a> BLPOP nothing 0
    b: PING
    wait blocked a
    b: CLIENT UNBLOCK $a
    a<
    a> BLPOP nothing 0
    wait blocked a
    b: CLIENT UNBLOCK $a ERROR
    a<
    a> BLMOVE nothing other LEFT RIGHT 0
    wait blocked a
    b: CLIENT UNBLOCK $a TIMEOUT
    a<
    b: CLIENT UNBLOCK $a`,
  'a RESP2 subscriber may say little; RESET ends all of it': `
    a: SUBSCRIBE ch
    a: GET k
    a: NOSUCH
    a: OBJECT NOSUCH
    a: PING
    a: PING hello
    a: SET k
    b: PUBLISH ch one
    a<
    a: UNSUBSCRIBE
    a: GET k
    a: PSUBSCRIBE c*
    b: PUBLISH ch two
    a<
    a: RESET
    a: GET k
    b: PUBLISH ch three`,
  'a transaction that subscribes, and ends subscriptions': `
    a: MULTI
    a: GET k
    a: SUBSCRIBE one two
    a: PING
    a: UNSUBSCRIBE one
    a: PSUBSCRIBE p*
    a: SSUBSCRIBE s
    a: SUNSUBSCRIBE
    a: EXEC
    a<
    a: GET k
    b: PUBLISH one x
    b: PUBLISH two y
    a<
    b: PUBLISH p1 z
    a<
    a: UNSUBSCRIBE two
    a: PUNSUBSCRIBE
    a: MULTI
    a: UNSUBSCRIBE
    a: SUBSCRIBE
    a: EXEC
    a: MULTI
    a: UNSUBSCRIBE
    a: PUNSUBSCRIBE x
    a: EXEC
    a: GET k`,
  'a transaction of a RESP3 subscriber': `
    a: HELLO 3
    a: SUBSCRIBE one
    a: MULTI
    a: SUBSCRIBE one two
    a: UNSUBSCRIBE one
    a: EXEC
    a<
    a: GET k
    b: PUBLISH one x
    b: PUBLISH two y
    a<
    a: MULTI
    a: UNSUBSCRIBE
    a: EXEC
    b: PUBLISH two z
    a: PING`,
  'what a transaction would subscribe to, when nothing comes of it': `
    a: WATCH k
    b: SET k changed
    a: MULTI
    a: SUBSCRIBE ch
    a: EXEC
    b: PUBLISH ch x
    a: GET k
    a: MULTI
    a: SUBSCRIBE ch
    a: DISCARD
    b: PUBLISH ch x
    a: MULTI
    a: SUBSCRIBE ch
    a: NOSUCH
    a: EXEC
    b: PUBLISH ch x
    a: GET k`,
  'SUBSCRIBE between WATCH and MULTI, by a subscriber': `
    a: HELLO 3
    a: SUBSCRIBE one
    a: WATCH k
    a: SUBSCRIBE two
    a: MULTI
    a: SET k v
    a: EXEC
    b: PUBLISH one x
    a<
    a: UNSUBSCRIBE two
    b: PUBLISH two y
    a: GET k`,
  'HELLO inside MULTI holds for what is behind it': `
    a: HSET h f v
    a: MULTI
    a: HGETALL h
    a: GET none
    a: HELLO 3 SETNAME me
    a: HGETALL h
    a: GET none
    a: HELLO 2 NONSENSE
    a: HGETALL h
    a: EXEC
    a: HGETALL h
    a: CLIENT GETNAME
    a: MULTI
    a: HELLO 2
    a: HGETALL h
    a: DISCARD
    a: HGETALL h`,
  'a RESP3 subscriber may say everything': `
    a: HELLO 3
    a: SUBSCRIBE ch
    a: SET k v
    a: GET k
    a: PING
    b: PUBLISH ch one
    a<
    a: MULTI
    a: INCR n
    a: EXEC
    a: HELLO 2
    b: PUBLISH ch two
    a<
    a: GET k
    a: UNSUBSCRIBE ch
    a: PING`,
  'HELLO changes the protocol, also while it watches': `
    a: HSET h f v
    a: WATCH h
    a: HELLO 3
    a: HGETALL h
    a: MULTI
    a: HGETALL h
    a: EXEC
    a: HELLO 2
    a: HGETALL h
    a: GET none
    a: HELLO 3
    a: GET none
    a: BLPOP none 0.01`,
  'blocked takers are served in the order in which they came': `
    a> BLPOP list 0
    wait blocked a
    b> BRPOP list 0
    wait blocked b
    c: RPUSH list one two three
    a<
    b<
    c: LRANGE list 0 -1`,
  'RESET forgets names, databases, transactions and protocols': `
    a: HELLO 3 SETNAME me
    a: SELECT 4
    a: WATCH k
    a: MULTI
    a: SET k v
    a: RESET
    a: EXEC
    a: CLIENT GETNAME
    a: DBSIZE
    a: GET none`,
  'QUIT is the last word': `
    a> SET k v
    a> QUIT
    a> SET k never
    a<
    a<
    a closed
    b: GET k`,
}

/** Bytes that are no commands, or hardly. */
const BYTES: Readonly<Record<string, string>> = {
  'an unbalanced quote': 'SET "k v\r\n',
  'a quote in the middle': 'SET "k"v x\r\n',
  'a multibulk length that is no number': '*abc\r\n',
  'a multibulk length that is too large': '*2147483648\r\n',
  'a multibulk length beyond 64 bits': '*99999999999999999999\r\n',
  'a negative multibulk length': '*-5\r\nPING\r\n',
  'an empty multibulk': '*0\r\nPING\r\n',
  'no dollar': '*1\r\nPING\r\n',
  'a bulk length that is no number': '*1\r\n$abc\r\n',
  'a negative bulk length': '*1\r\n$-1\r\n',
  'a bulk that is too large': '*1\r\n$536870913\r\n',
  'a bulk length without digits': '*1\r\n$\r\n',
  'commands before the mistake are answered': '*1\r\n$4\r\nPING\r\nSET a 1\r\n*1\r\n$x\r\nPING\r\n',
  'a mistake inside MULTI': 'MULTI\r\nSET k v\r\n*1\r\n!\r\n',
  'a mistake of a subscriber': 'SUBSCRIBE ch\r\n*1\r\n!\r\n',
  'an inline command that is too long': 'x'.repeat(70_000),
  'a count that does not end': `*${'1'.repeat(70_000)}`,
  'a bulk length that does not end': `*1\r\n$${'1'.repeat(70_000)}`,
  'quotes and escapes': 'ECHO "\\x41\\n\\"" \r\nECHO \'it\\\'s\'\r\nPING ""\r\n',
  'empty lines': '\r\n\n  \r\nPING\r\n',
}

describe.each(['shared', 'dedicated'] as const)('%s connections', (connections) => {
  test.each(Object.entries(SCENARIOS))('%s', async (_name, script) => {
    const here = await play(paths[connections].port, script)
    const there = await play(direct.port, script)
    expect(here).toEqual(there)
  })

  test.each(Object.entries(BYTES))('bytes: %s', async (_name, bytes) => {
    expect(await say(paths[connections].port, bytes)).toEqual(await say(direct.port, bytes))
  })
})

/** What was read, with ids and addresses by the clients' names. */
async function play(port: number, script: string): Promise<string[]> {
  const clients = new Map<string, RawClient>()
  const ids = new Map<string, string>()
  const read: string[] = []
  const observer = await RawClient.open(port)
  const clientOf = async (name: string): Promise<RawClient> => {
    const known = clients.get(name)
    if (known !== undefined) return known
    const client = await RawClient.open(port)
    clients.set(name, client)
    ids.set(name, (await client.ask('CLIENT', 'ID')).slice(1).trim())
    return client
  }
  const steps = script
    .trim()
    .split('\n')
    .map((line) => line.trim())
  for (const [, name] of script.matchAll(/[$@](\w)\b/g)) await clientOf(name!)
  for (const step of steps) {
    const [, name, kind, rest = ''] = /^(?:flags |multi )?(\w+)(: |> |<| closed)(.*)$/.exec(step) ?? []
    if (name === undefined) {
      const blocked = /^wait blocked (\w)$/.exec(step)![1]!
      while (!/ flags=b /.test(await observer.ask('CLIENT', 'LIST', 'ID', ids.get(blocked)!)));
      continue
    }
    const client = await clientOf(name)
    if (kind === ' closed') {
      await client.closed
      read.push(`${name} closed, ${client.unread} unread`)
      continue
    }
    if (kind !== '<') {
      const argsOf = (command: string): string[] =>
        command.split(' ').map((word) => {
          const other = clients.get(word.slice(1))
          if (other === undefined) return word
          if (word[0] === '$') return ids.get(word.slice(1))!
          return word[0] === '@' ? `127.0.0.1:${other.socket.localPort}` : word
        })
      client.send(Buffer.concat(rest.split(' ; ').map((command) => encodeCommand(argsOf(command)))))
    }
    if (kind === '> ') continue
    const frame = await client.text()
    const [, field] = /^(flags|multi) /.exec(step) ?? []
    const shown = field === undefined ? masked(frame) : new RegExp(` ${field}=\\S+`).exec(frame)?.[0]
    read.push(`${step} => ${shown}`)
  }
  for (const client of [...clients.values(), observer]) client.destroy()
  return read
}

function masked(frame: string): string {
  return frame.replace(/(id\r\n):\d+/, '$1:N')
}

/** A line without an end is said to be one only while nothing comes behind it. */
async function say(port: number, bytes: string): Promise<string> {
  const client = await RawClient.open(port)
  let said = ''
  client.socket.on('data', (chunk: Buffer) => {
    said += chunk.toString('latin1')
  })
  client.send(bytes)
  if (bytes.length < 70_000) client.command('PING', 'the end')
  while (!client.ended && !said.includes('the end')) await new Promise((resolve) => setTimeout(resolve, 2))
  const ended = client.ended
  client.destroy()
  return `${said}${ended ? ' closed' : ''}`
}
