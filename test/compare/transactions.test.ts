import { afterEach, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { shadowUp } from '../support/shadow-up.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function start(phase: 'shadow' | 'read-target' = 'shadow') {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  const shared = { phase, source: 'old', compare: { sample: 1 } } as const
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [
      { ...shared, name: 'jobs', keys: ['job:{id}'], target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } } },
      { ...shared, name: 'rest', target: 'new' },
    ],
  })
  running.push(old, fresh, path)
  await shadowUp(path)
  return { fresh, path }
}

function shown(path: DataPathUnderTest): string[] {
  return path.notices.flatMap(({ kind, ...notice }) =>
    kind === 'finding' && 'finding' in notice
      ? [`${notice.finding.command} ${notice.finding.key} ${notice.finding.class}`]
      : [],
  )
}

function counted(path: DataPathUnderTest): { compared: number; matched: number; skipped: number } {
  const { jobs, rest } = path.runtime.stats().routes
  const sum = (name: 'compared' | 'matched' | 'skipped') => jobs!.counters[name] + rest!.counters[name]
  return { compared: sum('compared'), matched: sum('matched'), skipped: sum('skipped') }
}

describe.each([2, 3] as const)('reads inside a transaction, RESP%i', (protocol) => {
  test.each(['whole', 'piecewise'])('that arrives %s are compared behind what it wrote', async (way) => {
    const { path } = await start()
    const client = await path.raw()
    await client.ask('HELLO', protocol)
    const commands = [
      ['MULTI'],
      ['SET', 'job:1', 'a'],
      ['GET', 'job:1'],
      ['HSET', 'h', 'f', 'v'],
      ['HGETALL', 'h'],
      ['GET', 'nothing'],
      ['LRANGE', 'h', '0', '-1'],
      ['EXEC'],
    ]
    for (const command of commands) {
      client.command(...command)
      if (way === 'piecewise') await new Promise((resolve) => setImmediate(resolve))
    }
    await client.take(commands.length)
    await settled(path)
    await eventually(() => expect(counted(path)).toEqual({ compared: 4, matched: 4, skipped: 0 }))
  })

  test('are not compared when the transaction wrote to their key after them', async () => {
    const { path } = await start()
    const client = await path.raw()
    await client.ask('HELLO', protocol)
    await client.ask('SET', 'a', '1')
    for (const command of [['MULTI'], ['GET', 'a'], ['GET', 'b'], ['MGET', 'c', 'a'], ['INCR', 'a'], ['EXEC']])
      client.command(...command)
    await client.take(6)
    await settled(path)
    await eventually(() => expect(counted(path)).toEqual({ compared: 1, matched: 1, skipped: 0 }))
  })

  test('show what is planted', async () => {
    const { fresh, path } = await start()
    const client = await path.raw()
    await client.ask('HELLO', protocol)
    await client.ask('RPUSH', 'job:list', 'a', 'b')
    await settled(path)
    await fresh.client().rpop('step:list')
    for (const command of [['MULTI'], ['SET', 'x', '1'], ['LRANGE', 'job:list', '0', '-1'], ['EXEC']])
      client.command(...command)
    await client.take(4)
    await eventually(() => expect(shown(path)).toEqual(['LRANGE job:list length']))
  })
})

test('a transaction that did nothing is not compared', async () => {
  const { path } = await start()
  const client = await path.raw()
  await client.ask('WATCH', 'a')
  await (await path.raw()).ask('SET', 'a', '1')
  for (const command of [['MULTI'], ['GET', 'a'], ['EXEC']]) client.command(...command)
  expect((await client.take(3)).at(-1)).toBe('*-1\r\n')
  await settled(path)
  expect(counted(path)).toEqual({ compared: 0, matched: 0, skipped: 0 })
})

test.each(['shadow', 'read-target'] as const)(
  'an XREAD that may block is not asked there in %s, where it would hold up what comes behind',
  async (phase) => {
    const { path, fresh } = await start(phase)
    const client = await path.raw()
    for (const command of [
      ['MULTI'],
      ['XREAD', 'BLOCK', '0', 'STREAMS', 'none', '0'],
      ['XREAD', 'STREAMS', 'none', '0'],
      ['EXEC'],
    ])
      client.command(...command)
    expect((await client.take(4)).at(-1)).toBe('*2\r\n*-1\r\n*-1\r\n')
    await client.ask('SET', 'a', '1')
    await eventually(async () => expect(await fresh.client().get('a')).toBe('1'))
    await settled(path)
    await eventually(() => expect(counted(path)).toEqual({ compared: 1, matched: 1, skipped: 0 }))
  },
)
