import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CommandSpec } from '../../src/command/spec.ts'
import { CommandTable } from '../../src/command/table.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import { type Reply, SimpleReply } from '../../src/resp/reply.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { WireClient } from '../support/wire-client.ts'

const builtin = CommandTable.builtin()
let server: RedisServer
let resp2: Reply
let resp3: Reply

beforeAll(async () => {
  server = await startRedis()
  const client = await WireClient.open(server.port)
  resp2 = await client.call('COMMAND')
  await client.call('HELLO', 3)
  resp3 = await client.call('COMMAND')
  client.close()
})

afterAll(() => server.stop())

function lookup(table: CommandTable, ...args: string[]): CommandSpec | undefined {
  return table.lookup(viewOf(args.map((arg) => Buffer.from(arg))))
}

test('a command is found whatever its case', () => {
  for (const name of ['get', 'GET', 'gEt']) expect(lookup(builtin, name, 'k')?.name).toBe('GET')
})

test("a container's subcommand is found; an unknown or missing one gives the container", () => {
  expect(lookup(builtin, 'xgroup', 'create', 'k', 'g', '$')?.name).toBe('XGROUP CREATE')
  expect(lookup(builtin, 'XGROUP', 'nonsense')?.name).toBe('XGROUP')
  expect(lookup(builtin, 'XGROUP')?.name).toBe('XGROUP')
  expect(lookup(builtin, 'CLIENT', 'NO-TOUCH', 'on')?.name).toBe('CLIENT NO-TOUCH')
})

test('what is no command is not found', () => {
  for (const name of ['', 'GETT', 'GE', 'G\x05T', 'xgroup create', '\x00', 'x'.repeat(70_000)]) {
    expect(lookup(builtin, name)).toBeUndefined()
  }
  expect(builtin.lookup(viewOf([]))).toBeUndefined()
})

test('bytes that differ from a letter in the case bit only are not taken for it', () => {
  // `@` and backtick, `[` and `{` fold to the same hash.
  expect(lookup(builtin, 'GET'.replace('E', String.fromCharCode('E'.charCodeAt(0) ^ 0x40)))).toBeUndefined()
  expect(lookup(builtin, 'RESTORE\rASKING')).toBeUndefined()
})

test('lookup finds exactly what byName finds, in any mixture of cases', () => {
  const names = [...builtin.all()].map((spec) => spec.name)
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.infiniteStream(fc.boolean()), (name, flips) => {
      const mixed = [...name].map((letter) => (flips.next().value ? letter.toLowerCase() : letter)).join('')
      expect(lookup(builtin, ...mixed.split(' '), 'k')).toBe(builtin.byName(name))
    }),
    { numRuns: 500 },
  )
})

test('names of one length and first letter are told apart, in turn and again', () => {
  const names = [
    'SET',
    'hget',
    'HSET',
    'HLEN',
    'hset',
    'HGET',
    'HGETALL',
    'SORT',
    'hxyz',
    'SADD',
    'HDEL',
    'SPOP',
    'HSET',
  ]
  for (const name of [...names, ...names]) expect(lookup(builtin, name, 'k')).toBe(builtin.byName(name.toUpperCase()))
})

test('any bytes are looked up without harm', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 3 }), (args) => {
      const found = builtin.lookup(viewOf(args))
      if (found !== undefined) expect(Buffer.from(args[0]!).toString().toUpperCase()).toBe(found.name.split(' ')[0])
    }),
  )
})

test('what a server says of its commands is the same in RESP2 and RESP3', () => {
  const two = CommandTable.fromServer(resp2, builtin)
  const three = CommandTable.fromServer(resp3, builtin)
  for (const spec of two.all()) expect(three.byName(spec.name)).toEqual(spec)
  expect(lookup(two, 'XINFO', 'STREAM', 'k')).toMatchObject({ readonly: true, firstKey: 2, lastKey: 2 })
})

test("the server's word counts: a command of a module is known, flags and keys", () => {
  const told: Reply = [
    [Buffer.from('mod.put'), -3, [new SimpleReply('write')], 1, 1, 1, [], [], [], []],
    [Buffer.from('mod.see'), 2, [new SimpleReply('readonly')], 1, 1, 1, [], [], [], []],
    [Buffer.from('mod.any'), -2, [new SimpleReply('write'), new SimpleReply('movablekeys')], 0, 0, 0, [], [], [], []],
  ]
  const table = CommandTable.fromServer(told, builtin)
  expect(lookup(table, 'MOD.PUT', 'k', 'v')).toMatchObject({ write: true, firstKey: 1, effect: null })
  expect(lookup(table, 'MOD.SEE', 'k')).toMatchObject({ readonly: true, compare: { kind: 'skipped' } })
  expect(lookup(table, 'GET', 'k')).toBe(table.byName('GET'))
})

test('a server that tells neither key specs nor subcommands leaves what was built in', () => {
  const old = (resp2 as readonly (readonly Reply[])[]).map((entry) => entry.slice(0, 7))
  const table = CommandTable.fromServer(old, builtin)
  expect(table.byName('ZUNIONSTORE')).toMatchObject({ keyFinder: 'specs', keySpecs: [{}, {}] })
  expect(lookup(table, 'XGROUP', 'CREATE', 'k')).toMatchObject({ name: 'XGROUP CREATE', firstKey: 2 })
  // As Redis 5 and 6 list it.
  const debug: Reply = [[Buffer.from('pfdebug'), -3, [new SimpleReply('write'), new SimpleReply('admin')], 0, 0, 0]]
  expect(CommandTable.fromServer(debug, builtin).byName('PFDEBUG')).toMatchObject({ firstKey: 2, lastKey: 2 })
})

test('the built-in flags and keys are those of a real server', () => {
  const table = CommandTable.fromServer(resp2, builtin)
  for (const entry of resp2 as readonly (readonly Reply[])[]) {
    const name = (entry[0] as Buffer).toString().toUpperCase()
    const { write, readonly, firstKey, lastKey, keyStep } = table.byName(name)!
    expect(builtin.byName(name), name).toMatchObject({ write, readonly, firstKey, lastKey, keyStep })
  }
})

test('garbage instead of a list of commands changes nothing', () => {
  for (const reply of [null, 1, [], [null], [[Buffer.from('x')]], new SimpleReply('OK')]) {
    expect([...CommandTable.fromServer(reply, builtin).all()]).toEqual([...builtin.all()])
  }
})

test('every command that would change a shared connection is kept off it', () => {
  const handling = (name: string) => builtin.byName(name)?.handling
  for (const name of [
    'SELECT',
    'AUTH',
    'HELLO',
    'CLIENT',
    'CLIENT TRACKING',
    'CLIENT REPLY',
    'QUIT',
    'RESET',
    'ASKING',
  ]) {
    expect(handling(name), name).toBe('session')
  }
  for (const name of ['MULTI', 'EXEC', 'DISCARD', 'WATCH', 'UNWATCH']) expect(handling(name), name).toBe('transaction')
  for (const name of ['SUBSCRIBE', 'PSUBSCRIBE', 'SSUBSCRIBE', 'UNSUBSCRIBE'])
    expect(handling(name), name).toBe('subscribe')
  for (const name of ['SYNC', 'PSYNC', 'REPLCONF']) expect(handling(name), name).toBe('replica')
  for (const name of ['SCRIPT DEBUG', 'HIMPORT SET']) expect(handling(name), name).toBe('refuse')
  expect(handling('MONITOR')).toBe('takeover')
  for (const name of ['SHUTDOWN', 'SCRIPT KILL', 'FUNCTION KILL']) expect(handling(name), name).toBe('beside')
  for (const name of ['GET', 'FAILOVER', 'REPLICAOF', 'SCRIPT LOAD', 'CLIENT HELP'])
    expect(handling(name), name).toBe('forward')
})

test('every command that the server flags as blocking is handled as such', () => {
  for (const entry of resp2 as readonly (readonly Reply[])[]) {
    const flags = (entry[2] as readonly SimpleReply[]).map((flag) => flag.text)
    const name = (entry[0] as Buffer).toString().toUpperCase()
    expect(builtin.byName(name)?.handling === 'blocking', name).toBe(flags.includes('blocking') || name === 'WAIT')
  }
})
