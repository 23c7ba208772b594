import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { renamedJobs } from '../../support/renamed-jobs.ts'

let store: RedisServer
let path: DataPathUnderTest
let client: RawClient
beforeEach(async () => {
  store = await startRedis()
})
afterEach(async () => {
  await path.stop()
  await store.stop()
})

const start = async (scripts: 'copy' | 'warn' | 'refuse', phase: 'mirror' | 'switched' = 'mirror'): Promise<void> => {
  path = await startDataPath(renamedJobs(store, phase, scripts))
  client = await path.raw()
}
const LIBRARY = `#!lua name=l
redis.register_function('declared', function(keys, args) return redis.call('SET', keys[1], args[1]) end)
redis.register_function('made_up', function(keys, args) return redis.call('SET', 'job:' .. args[1], 'x') end)
redis.register_function{
  function_name = 'looks', flags = { 'no-writes' },
  callback = function(keys, args) return redis.call('GET', 'job:' .. args[1]) end
}
redis.register_function('hands', function(keys) return redis.call('GET', keys[1]) end)
redis.register_function('tells', function(keys) return keys[1] end)
redis.register_function('speaks', function(keys) return redis.call('PUBLISH', 'job_events', 'x') end)
redis.register_function('counts', function(keys) return redis.call('DBSIZE') end)`
const HARMLESS = `#!lua name=l
redis.register_function('made_up', function(keys, args) return redis.call('SET', keys[1], 'y') end)`
const REFUSED = /^-ERR Understudy refuses this function: it uses keys which it does not declare/

const load = (source = LIBRARY) => store.client().call('FUNCTION', 'LOAD', 'REPLACE', source)
const packet = (...commands: string[][]) => Buffer.concat(commands.map((words) => encodeCommand(words)))
const reports = () =>
  path.notices.filter((notice) => notice.kind === 'log' && notice.line.msg.startsWith('a function uses keys which'))
const inDoubt = (route = 'jobs') => path.runtime.stats().routes[route]!.scriptsInDoubt

test('a function that makes names is refused where it is configured, alone and in MULTI, whoever has loaded it', async () => {
  await load()
  await start('refuse')
  expect(await client.ask('FCALL', 'declared', 1, 'job:1', 'v')).toBe('+OK\r\n')
  expect(await client.ask('FCALL', 'made_up', 0, '1')).toMatch(REFUSED)
  expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toMatch(REFUSED)
  expect(await client.ask('FCALL_RO', 'looks', 1, 'job:1', '1')).toMatch(REFUSED)
  client.send('MULTI\r\nSET job:2 v\r\nFCALL made_up 1 job:1 1\r\nEXEC\r\n')
  const [, , queued, exec] = await client.take(4)
  expect([queued, exec]).toEqual([expect.stringMatching(REFUSED), expect.stringMatching(/^-EXECABORT/)])
  await client.ask('MULTI')
  expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toMatch(REFUSED)
  expect(await client.ask('DISCARD')).toBe('+OK\r\n')
  expect(await client.ask('EXISTS', 'job:1', 'job:2')).toBe(':1\r\n')
})

test('the first call is judged as well, inside MULTI too', async () => {
  await load()
  await start('refuse')
  client.send('MULTI\r\nFCALL made_up 1 job:1 1\r\nEXEC\r\n')
  expect((await client.take(3))[1]).toMatch(REFUSED)
  await path.stop()
  await start('refuse')
  await client.ask('MULTI')
  expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toMatch(REFUSED)
  await path.stop()
  await start('refuse')
  expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toMatch(REFUSED)
})

test.each(['copy', 'warn'] as const)('it passes and is reported once, by its name (%s)', async (scripts) => {
  await load()
  await start(scripts)
  for (let i = 0; i < 3; i++) expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '7')).toBe('+OK\r\n')
  expect(await client.ask('FCALL', 'declared', 1, 'job:1', 'v')).toBe('+OK\r\n')
  expect(reports()).toHaveLength(1)
  expect(inDoubt()).toEqual(['function made_up'])
  // The store has told which key it has written.
  await eventually(async () => expect(await store.client().mget('step:7', 'step:1')).toEqual(['x', 'v']))
})

test('where the store that answers has other names, it is refused, unless it is said to do no harm', async () => {
  await load()
  await start('copy', 'switched')
  expect(await client.ask('FCALL', 'declared', 1, 'job:1', 'v')).toBe('+OK\r\n')
  expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toMatch(REFUSED)
  expect(await client.ask('FCALL', 'made_up', 0, '1')).toMatch(REFUSED)
  expect(await client.ask('FCALL', 'speaks', 1, 'job:1')).toMatch(/refuses this function: it publishes to a channel/)
  expect(await client.ask('FCALL', 'counts', 0)).toMatch(/refuses this function: it asks by KEYS/)
  expect(await client.ask('FCALL', 'nobody', 1, 'job:1')).toBe('-ERR Function not found\r\n')
  // The server's to say.
  expect(await client.ask('FCALL', 'made_up', 'x')).toMatch(/^-ERR Bad number of keys/)
  await path.stop()
  await start('warn', 'switched')
  expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toBe('+OK\r\n')
})

test('its name has no case, as at the server', async () => {
  await store.client().call('FUNCTION', 'LOAD', 'REPLACE', LIBRARY.replaceAll('declared', 'Declared'))
  await start('copy', 'switched')
  for (const name of ['declared', 'Declared', 'DECLARED'])
    expect(await client.ask('FCALL', name, 1, 'job:1', 'v')).toBe('+OK\r\n')
  expect(await client.ask('FCALL', 'MADE_UP', 1, 'job:1', '1')).toMatch(REFUSED)
  await path.stop()
  await start('copy')
  for (const name of ['MADE_UP', 'made_up']) await client.ask('FCALL', name, 1, 'job:1', '1')
  expect(inDoubt()).toEqual(['function made_up'])
})

test('nothing is asked of a store whose functions nobody calls', async () => {
  await start('copy')
  await client.ask('FUNCTION', 'LOAD', LIBRARY)
  await client.ask('SET', 'job:1', 'v')
  expect(await store.client().info('commandstats')).not.toContain('function|list')
})

test('the store is not asked again, however many call, and whoever gets a connection of its own', async () => {
  await load()
  await start('copy', 'switched')
  const asked = async () => /cmdstat_function\|list:calls=(\d+)/.exec(await store.client().info('commandstats'))?.[1]
  const calls = Array.from({ length: 50 }, () => ['FCALL', 'declared', '1', 'job:1', 'v'])
  const counts: (string | undefined)[] = []
  for (let i = 0; i < 3; i++) {
    client.send(packet(...calls, ['BLPOP', 'nothing', '0.01'], ['FCALL', 'made_up', '1', 'job:1', '1']))
    expect((await client.take(52))[51]).toMatch(REFUSED)
    counts.push(await asked())
  }
  expect(Number(counts[0])).toBeGreaterThan(0)
  expect(counts[2]).toBe(counts[0])
})

test('names of its keys in its reply are the application’s, unless it only hands them over', async () => {
  await load()
  await start('copy', 'switched')
  await client.ask('SET', 'job:data', 'step:data')
  expect(await client.ask('FCALL', 'tells', 1, 'job:data')).toBe('$8\r\njob:data\r\n')
  expect(await client.ask('FCALL', 'hands', 1, 'job:data')).toBe('$9\r\nstep:data\r\n')
})

describe('a library that changes', () => {
  test('is judged anew from the next call on, where the change passes by', async () => {
    await load(HARMLESS)
    await start('copy', 'switched')
    expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toBe('+OK\r\n')
    const call = ['FCALL', 'made_up', '1', 'job:1', '1']
    client.send(packet(['FUNCTION', 'LOAD', 'REPLACE', LIBRARY], call))
    expect((await client.take(2))[1]).toMatch(REFUSED)
    client.send(packet(['MULTI'], ['FUNCTION', 'LOAD', 'REPLACE', HARMLESS], ['EXEC'], call))
    expect((await client.take(4))[3]).toBe('+OK\r\n')
    await client.ask('FUNCTION', 'FLUSH')
    expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toBe('-ERR Function not found\r\n')
  })

  test('past Understudy is noticed while it is used, and what was said of it forgotten', async () => {
    await load()
    await start('copy')
    expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toBe('+OK\r\n')
    expect(inDoubt()).toEqual(['function made_up'])
    await load(HARMLESS)
    await eventually(async () => {
      await client.ask('FCALL', 'made_up', 1, 'job:1', '1')
      expect(inDoubt()).toEqual([])
    })
  })

  test.each([
    ['copy', 'mirror', false],
    ['copy', 'switched', true],
    ['warn', 'switched', false],
    ['refuse', 'mirror', true],
  ] as const)(
    'is refused in a transaction that may change it, where a script that makes names would be: %s, %s',
    async (scripts, phase, refused) => {
      await start(scripts, phase)
      client.send(packet(['MULTI'], ['FUNCTION', 'LOAD', LIBRARY], ['FCALL', 'declared', '1', 'job:1', 'v'], ['EXEC']))
      const replies = await client.take(4)
      if (!refused) {
        expect(replies.slice(2)).toEqual(['+QUEUED\r\n', '*2\r\n$1\r\nl\r\n+OK\r\n'])
        return
      }
      expect(replies[2]).toMatch(/^-ERR Understudy cannot tell what a function does/)
      expect(replies[3]).toMatch(/^-EXECABORT/)
      expect(await store.client().call('FUNCTION', 'LIST')).toEqual([])
    },
  )

  test('stays in doubt where the function still makes names, and no longer when it is gone', async () => {
    await start('copy')
    await client.ask('FUNCTION', 'LOAD', LIBRARY)
    expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toBe('+OK\r\n')
    await client.ask('FUNCTION', 'LOAD', 'REPLACE', `${LIBRARY}\n-- another comment`)
    // It has been read by the time this is answered.
    expect(await client.ask('FCALL', 'declared', 1, 'job:1', 'v')).toBe('+OK\r\n')
    expect(inDoubt()).toEqual(['function made_up'])
    await client.ask('FUNCTION', 'FLUSH')
    await eventually(async () => {
      await client.ask('FCALL', 'declared', 1, 'job:1', 'v')
      expect(inDoubt()).toEqual([])
    })
  })

  test('is read again when the store is another process', async () => {
    await load()
    await start('copy', 'switched')
    expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toMatch(REFUSED)
    await store.restart()
    await load(HARMLESS)
    await eventually(async () => expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toBe('+OK\r\n'))
  })
})

test('what cannot be read is refused where names are others, and passes where they are the application’s', async () => {
  await load()
  await store.client().call('ACL', 'SETUSER', 'default', '-function|list')
  await start('copy', 'switched')
  expect(await client.ask('FCALL', 'declared', 1, 'job:1', '1')).toMatch(
    /^-ERR Understudy refuses this function: store 'store' does not let it be read, .*the right to FUNCTION LIST, or set/,
  )
  expect(await client.ask('FCALL', 'declared', 1, 'other', '1')).toBe('+OK\r\n')
  expect(JSON.stringify(path.notices)).toContain('a store does not tell its functions')
  await path.stop()
  await start('copy')
  expect(await client.ask('FCALL', 'declared', 1, 'job:1', '1')).toBe('+OK\r\n')
  expect(inDoubt()).toEqual(['unread function declared'])
  expect(JSON.stringify(path.notices)).toContain('a function could not be read (FUNCTION LIST')
  expect(reports()).toEqual([])
})

test('what could not be read is in doubt no more when the store has told its functions', async () => {
  await load()
  await store.client().call('ACL', 'SETUSER', 'default', '-function|list')
  await start('copy')
  expect(await client.ask('FCALL', 'declared', 1, 'job:1', '1')).toBe('+OK\r\n')
  expect(inDoubt()).toEqual(['unread function declared'])
  await store.client().call('ACL', 'SETUSER', 'default', '+function|list')
  // It has passed by, so that the store is asked again at once.
  await client.ask('FUNCTION', 'LOAD', 'REPLACE', LIBRARY)
  await eventually(async () => {
    expect(await client.ask('FCALL', 'declared', 1, 'job:1', '1')).toBe('+OK\r\n')
    expect(inDoubt()).toEqual([])
  })
})

test('routes that have the same names and may be switched one by one: both kinds are reported, and nothing is refused', async () => {
  await load()
  const fresh = await startRedis()
  try {
    const both = { source: 'store', target: 'fresh', phase: 'mirror' } as const
    path = await startDataPath({
      stores: { store, fresh },
      routes: [
        { name: 'jobs', keys: ['job:{id}'], ...both, scripts: 'refuse' },
        { name: 'rest', ...both },
      ],
    })
    client = await path.raw()
    expect(await client.ask('FCALL', 'made_up', 1, 'job:1', '1')).toBe('+OK\r\n')
    expect(await client.ask('FCALL', 'declared', 1, 'other', '1')).toBe('+OK\r\n')
    expect(await client.ask('EVAL', "return redis.call('GET', 'job:' .. ARGV[1])", 1, 'other', '1')).toBe('$1\r\nx\r\n')
    expect(inDoubt()).toEqual(['function made_up'])
    expect(inDoubt('rest')).toEqual([expect.stringMatching(/^[0-9a-f]{40}$/)])
  } finally {
    await path.stop()
    await fresh.stop()
  }
})

test('a function in doubt at one primary stays so when one of its name does no harm at another', async () => {
  const [far, fresh] = await Promise.all([startRedis(), startRedis()])
  path = await startDataPath({
    stores: { store, far, fresh },
    routes: [
      {
        name: 'far',
        keys: ['far:*'],
        source: 'far',
        target: { store: 'fresh', keys: { 'far:*': 'x:*' } },
        phase: 'mirror',
      },
      { name: 'rest', source: 'store' },
    ],
  })
  client = await path.raw()
  await far.client().call('FUNCTION', 'LOAD', LIBRARY)
  await client.ask('FUNCTION', 'LOAD', HARMLESS)
  expect(await client.ask('FCALL', 'made_up', 1, 'far:1', '1')).toBe('+OK\r\n')
  expect(await client.ask('FCALL', 'made_up', 1, 'k', '1')).toBe('+OK\r\n')
  await client.ask('FUNCTION', 'LOAD', 'REPLACE', `${HARMLESS}\n-- another comment`)
  // It has been read by the time this is answered.
  expect(await client.ask('FCALL', 'made_up', 1, 'k', '1')).toBe('+OK\r\n')
  expect(inDoubt('far')).toEqual(['function made_up'])
  await far.client().call('FUNCTION', 'LOAD', 'REPLACE', HARMLESS)
  await eventually(async () => {
    await client.ask('FCALL', 'made_up', 1, 'far:1', '1')
    expect(inDoubt('far')).toEqual([])
  })
  await Promise.all([far.stop(), fresh.stop()])
})

test('of what cannot be read no name is kept that no function has, and of a long one its beginning', async () => {
  await store.client().call('ACL', 'SETUSER', 'default', '-function|list')
  await start('copy')
  for (const name of ['not-a-name', 'f'.repeat(100_000)])
    expect(await client.ask('FCALL', name, 1, 'job:1')).toBe('-ERR Function not found\r\n')
  expect(inDoubt()).toEqual([`unread function ${'f'.repeat(200)}`])
})

test.each([
  ['executed', 'declared', /^\*2\r\n\+OK\r\n\$1\r\nv\r\n$/],
  ['refused', 'made_up', /^-EXECABORT .* because of: ERR Understudy refuses this function/],
])(
  'a transaction that is queued over a switch to a store whose functions nobody has read is %s when they are known',
  async (_, name, answer) => {
    const other = await startRedis()
    const options = (phase: 'mirror' | 'switched') => ({
      stores: { old: store, new: other },
      routes: [
        {
          name: 'jobs',
          keys: ['job:{id}'],
          source: 'old',
          target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
          phase,
          scripts: 'refuse' as const,
        },
        { name: 'rest', source: 'old', target: 'new', phase },
      ],
    })
    try {
      await load(name === 'made_up' ? HARMLESS : LIBRARY)
      await other.client().call('FUNCTION', 'LOAD', LIBRARY)
      path = await startDataPath(options('mirror'))
      client = await path.raw()
      await client.ask('MULTI')
      expect(await client.ask('FCALL', name, 1, 'job:1', 'v')).toBe('+QUEUED\r\n')
      await path.apply(options('switched'))
      for (const command of [['GET', 'job:1'], ['EXEC']]) client.command(...command)
      const [queued, exec] = await client.take(2)
      expect(queued).toBe('+QUEUED\r\n')
      expect(exec).toMatch(answer)
      expect(await other.client().get('step:1')).toBe(name === 'made_up' ? null : 'v')
    } finally {
      await path.stop()
      await other.stop()
    }
  },
)
