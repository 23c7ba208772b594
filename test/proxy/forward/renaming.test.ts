import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { decodeReply } from '../../../src/resp/decode.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'
import { CORPUS, LEFT_OUT, MEASURING } from './renamed-commands.ts'

let direct: RedisServer
let store: RedisServer
let path: DataPathUnderTest | null = null

beforeAll(async () => {
  const args = ['--enable-debug-command', 'yes']
  ;[direct, store] = await Promise.all([startRedis({ args }), startRedis({ args })])
})
afterAll(() => Promise.all([direct.stop(), store.stop()]))
beforeEach(async () => {
  for (const server of [direct, store]) await server.client().flushall()
})
afterEach(async () => {
  await path?.stop()
  path = null
})

const RENAMES = { 'job:{id}': 'step:{id}', 'job:w_{id}': 'weight:{id}:of-step' }

/** A reply as text; of what measures, without the numbers. Also nested: COMMAND DOCS. */
function shown(command: readonly string[], frame: Buffer): string {
  const text = frame.toString('latin1')
  if (command[0] === 'KEYS') return text.split('\r\n').sort().join(' ')
  if (!MEASURING.has(command[0]!)) return text
  return text
    .replace(/at:0x[0-9a-f]+/g, 'at')
    .replace(/\$\d+\r\n/g, '')
    .replace(/\d+/g, 'n')
}

async function open(port: number, protocol: number): Promise<RawClient> {
  const client = await RawClient.open(port)
  await client.ask('HELLO', protocol)
  return client
}

/** To and from its own Redis in passthrough; to names of the other side, both on one server, in mirror and switched. */
test.each([
  ['passthrough', 2],
  ['passthrough', 3],
  ['mirror', 2],
  ['mirror', 3],
  ['switched', 2],
  ['switched', 3],
] as const)(
  'every command answers byte for byte as the application’s own Redis would (%s, RESP%i)',
  async (phase, protocol) => {
    const keys = Object.keys(RENAMES)
    path = await startDataPath({
      stores: { store },
      routes: [
        phase === 'passthrough'
          ? { name: 'jobs', keys, source: { store: 'store', keys: RENAMES } }
          : { name: 'jobs', keys, source: 'store', target: { store: 'store', keys: RENAMES }, phase },
        { name: 'rest', source: 'store' },
      ],
    })
    const [there, here] = [await open(direct.port, protocol), await open(path.port, protocol)]
    const different: unknown[] = []
    for (const command of CORPUS) {
      there.command(...command)
      here.command(...command)
      const [expected, got] = [shown(command, await there.next()), shown(command, await here.next())]
      if (got !== expected) different.push({ command: command.join(' '), expected, got })
    }
    expect(different).toEqual([])
    await settled(path)
    there.destroy()
    here.destroy()
  },
)

test('the same in MULTI', async () => {
  path = await startDataPath({
    stores: { store },
    routes: [
      {
        name: 'jobs',
        keys: ['job:{id}'],
        source: 'store',
        target: { store: 'store', keys: { 'job:{id}': 'step:{id}' } },
        phase: 'switched',
      },
      { name: 'rest', source: 'store' },
    ],
  })
  const commands = CORPUS.filter(([name]) => !NOT_IN_MULTI.has(name!) && !MEASURING.has(name!))
  for (const protocol of [2, 3]) {
    for (const server of [direct, store]) await server.client().flushall()
    const [there, here] = [await open(direct.port, protocol), await open(path.port, protocol)]
    // Blocks of commands that the server queues all: a refused one ends its transaction.
    for (let at = 0; at < commands.length; at += 10) {
      const block = [['MULTI'], ...commands.slice(at, at + 10), ['EXEC']]
      const bytes = Buffer.concat(block.map((command) => encodeCommand(command)))
      there.send(bytes)
      here.send(bytes)
      const [expected, got] = [await there.take(block.length), await here.take(block.length)]
      expect([block.map((command) => command.join(' ')), got]).toEqual([
        block.map((command) => command.join(' ')),
        expected,
      ])
    }
    there.destroy()
    here.destroy()
  }
  await settled(path)
})

const NOT_IN_MULTI = new Set(
  'WATCH MULTI EXEC DISCARD HELLO AUTH SELECT CLIENT RESET QUIT SUBSCRIBE PSUBSCRIBE SSUBSCRIBE RANDOMKEY SWAPDB COMMAND ASKING READONLY READWRITE DBSIZE MIGRATE WAIT'.split(
    ' ',
  ),
)

test('every command of the server is tried, or left out for a reason', async () => {
  const client = await RawClient.open(direct.port)
  client.command('COMMAND', 'LIST')
  const frame = await client.next()
  client.destroy()
  const names = (decodeReply(frame, 0, frame.length) as Buffer[]).map((name) => String(name).toUpperCase())
  const tried = new Set(CORPUS.map(([name]) => name))
  expect(
    [...new Set(names.map((name) => name.split('|')[0]!))].filter(
      (name) => !tried.has(name) && LEFT_OUT[name] === undefined,
    ),
  ).toEqual([])
})
