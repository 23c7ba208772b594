import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

let old: RedisServer
let fresh: RedisServer
let path: DataPathUnderTest
const toShadow = (key: string): string => key.replace(/^job:/, 'step:')
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
})
afterAll(() => Promise.all([old.stop(), fresh.stop()]))
afterEach(async () => {
  await path.stop()
  await Promise.all([old, fresh].map((server) => server.client().flushall()))
  await Promise.all([old, fresh].map((server) => server.client().call('FUNCTION', 'FLUSH')))
})

const shaOf = (source: string): string => createHash('sha1').update(source).digest('hex')

let named: (key: string) => string = toShadow

async function start(renamed: boolean): Promise<void> {
  named = renamed ? toShadow : (key) => key
  const rest = { name: 'rest', source: 'old', target: 'new', phase: 'mirror' } as const
  const jobs = {
    name: 'jobs',
    keys: ['job:{id}'],
    source: 'old',
    target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
    phase: 'mirror',
  } as const
  path = await startDataPath({ stores: { old, new: fresh }, routes: renamed ? [jobs, rest] : [rest] })
}

function counters() {
  const routes = Object.values(path.runtime.stats().routes)
  return {
    applied: routes.reduce((sum, { counters: { applied } }) => sum + applied, 0),
    copied: routes.reduce((sum, { counters: { copied } }) => sum + copied, 0),
    errors: routes.reduce((sum, { counters: { shadowError } }) => sum + shadowError, 0),
    needsVerify: routes.some(({ needsVerify }) => needsVerify),
  }
}

/** What a script has written to keys that it does not declare is told a moment after its reply. */
async function equal(): Promise<void> {
  await eventually(async () => {
    await settled(path)
    expect(await driftBetween(old, fresh, { databases: [0, 1], toShadow: named })).toEqual([])
  })
}

describe('a script that does the same everywhere', () => {
  test('is run again on the shadow, under its key names, by EVAL, EVALSHA and inside MULTI', async () => {
    await start(true)
    const app = path.client()
    const source = "redis.call('rpush', KEYS[1], ARGV[1]) return redis.call('incr', KEYS[2])"
    expect(await app.eval(source, 2, 'job:list', 'job:count', 'a')).toBe(1)
    const sha = (await app.script('LOAD', source)) as string
    expect(await app.evalsha(sha, 2, 'job:list', 'job:count', 'b')).toBe(2)
    await app.multi().evalsha(sha, 2, 'job:list', 'job:count', 'c').set('job:other', 1).exec()
    await app.eval("return redis.call('get', KEYS[1])", 1, 'job:count')
    await settled(path)
    expect(counters()).toEqual({ applied: 4, copied: 0, errors: 0, needsVerify: false })
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
  })

  test('is loaded on the shadow before it is called there, also after the shadow has forgotten it', async () => {
    await start(false)
    const app = path.client()
    const source = "return redis.call('incr', KEYS[1])"
    const sha = (await app.script('LOAD', source)) as string
    await app.evalsha(sha, 1, 'count')
    await settled(path)
    await fresh.client().script('FLUSH')
    await app.evalsha(sha, 1, 'count')
    await settled(path)
    await app.evalsha(sha, 1, 'count')
    await settled(path)
    // Once it was not there: that key was copied, and the script loaded again.
    expect(counters()).toMatchObject({ applied: 3, copied: 1, errors: 1 })
    expect(await fresh.client().get('count')).toBe('3')
    expect(await fresh.client().script('EXISTS', sha)).toEqual([1])
  })

  test('is found out if it does not', async () => {
    await start(false)
    const app = path.client()
    await old.client().rpush('list', 'a', 'b')
    await app.eval("return redis.call('lpop', KEYS[1])", 1, 'list')
    await settled(path)
    expect(counters().copied).toBe(1)
    expect(await driftBetween(old, fresh)).toEqual([])
  })
})

describe('any other script', () => {
  test('has its keys copied', async () => {
    await start(true)
    const app = path.client()
    await app.eval("redis.call('set', KEYS[1], redis.call('time')[2]) redis.call('expire', KEYS[1], 100)", 1, 'job:a')
    await app.eval("redis.call('set', KEYS[1], 1) return redis.error_reply('ERR half-way')", 1, 'b').catch(() => {})
    await settled(path)
    expect(counters()).toMatchObject({ applied: 0, copied: 2 })
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
  })

  test.each(['shadow', 'primary'])(
    'that goes on behind an error has its keys copied: what the %s alone refuses shows in no answer',
    async (which) => {
      await start(false)
      const app = path.client()
      const put = (how: string): string => `${how} return 1`
      const hiding = [
        put("redis.pcall('set', KEYS[1], ARGV[1])"),
        put("local set = redis.pcall set('set', KEYS[1], ARGV[1])"),
        put("pcall(function() redis.call('set', KEYS[1], ARGV[1]) end)"),
      ]
      await app.call(
        'FUNCTION',
        'LOAD',
        "#!lua name=l\nredis.register_function('put', function(keys, args) redis.pcall('set', keys[1], args[1]) return 1 end)",
      )
      const all = async (value: string): Promise<void> => {
        for (const [i, source] of hiding.entries()) expect(await app.eval(source, 1, `k${i}`, value)).toBe(1)
        // A primary without memory takes no transaction, and no function.
        if (which === 'primary') return
        expect(await app.fcall('put', 1, 'f', value)).toBe(1)
        const [[error, reply]] = (await app.multi().eval(hiding[0]!, 1, 'm', value).exec()) as [[Error | null, unknown]]
        expect([error, reply]).toEqual([null, 1])
      }
      await all('before')
      await settled(path)
      const full = (which === 'shadow' ? fresh : old).client()
      await full.config('SET', 'maxmemory', '1')
      await all('after').finally(() => full.config('SET', 'maxmemory', '0'))
      await equal()
      expect(await driftBetween(old, fresh)).toEqual([])
    },
  )

  test.each([
    ['7.0.15', '8.0.3', false],
    ['7.0.15', '6.2.14', true],
    ['7.2.0', '8.0.3', true],
    ['8.0.3', null, false],
  ])(
    'that writes numbers which it computes has its keys copied between servers that put them down differently: from %s to %s, run again: %s',
    async (from, to, isRunAgain) => {
      await start(false)
      path.runtime.setFacts('old', 0, from)
      path.runtime.setFacts('new', 0, to)
      const app = path.client()
      const take = "redis.call('hset', KEYS[1], 'tokens', 10 - 0.1 * ARGV[1]) return 1"
      await app.eval(take, 1, 'bucket', 3)
      await app.eval("redis.call('set', KEYS[1], redis.call('zscore', KEYS[2], 'm') or '') return 1", 2, 's', 'z')
      await app.eval("redis.call('set', KEYS[1], cjson.encode({id = ARGV[1], n = 5, at = 7}))", 1, 'json', 'x')
      await settled(path)
      expect(counters()).toMatchObject(isRunAgain ? { applied: 3, copied: 0 } : { applied: 0, copied: 4 })
      // Most scripts compute none.
      await app.eval("redis.call('hset', KEYS[1], 'a', ARGV[1]) return redis.call('incr', KEYS[2])", 2, 'h', 'n', 'x')
      await settled(path)
      expect(counters().applied).toBe(isRunAgain ? 4 : 1)
      expect(await driftBetween(old, fresh)).toEqual([])
    },
  )

  test.each([
    "redis.call('sadd', KEYS[1], KEYS[2])",
    "redis.call('set', KEYS[1], #KEYS[2])",
    "redis.call('hset', KEYS[1], 'kind', string.match(KEYS[2], '^%a+'))",
    "if KEYS[2] == ARGV[1] then redis.call('set', KEYS[1], 1) else redis.call('set', KEYS[1], 2) end",
    "local names = KEYS redis.call('set', KEYS[1], cjson.encode(names))",
  ])('that does more with names than to reach its keys has them copied where they are others: %s', async (source) => {
    await start(true)
    const app = path.client()
    await app.eval(`${source} return 1`, 2, 'job:a', 'job:long', 'job:long')
    await app.call(
      'FUNCTION',
      'LOAD',
      `#!lua name=l\nredis.register_function('f', function(keys, args) ${source.replaceAll('KEYS', 'keys').replaceAll('ARGV', 'args')} return 1 end)`,
    )
    await app.fcall('f', 2, 'job:b', 'job:long', 'job:long')
    await settled(path)
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
    // By the same names it is run again.
    const { applied } = counters()
    await app.eval(`${source} return 1`, 2, 'a', 'b', 'job:long')
    await settled(path)
    expect(counters()).toMatchObject({ applied: applied + 1, needsVerify: false })
  })

  test('is not loaded where it is not called', async () => {
    await start(false)
    const app = path.client()
    const sources = ["return redis.call('get', KEYS[1])", "return redis.call('set', KEYS[1], redis.call('time')[2])"]
    for (const source of sources) await app.eval(source, 1, 'k')
    await settled(path)
    expect(await fresh.client().script('EXISTS', ...sources.map(shaOf))).toEqual([0, 0])
  })

  test('that was loaded before anybody looked has its keys copied', async () => {
    const sha = (await old.client().script('LOAD', "return redis.call('incr', KEYS[1])")) as string
    await start(true)
    await path.client().evalsha(sha, 1, 'job:count')
    await settled(path)
    expect(counters()).toMatchObject({ applied: 0, copied: 1, errors: 0 })
    expect(await driftBetween(old, fresh, { toShadow })).toEqual([])
  })

  test.each([
    ['under the same names', false],
    ['under other names', true],
  ])(
    'that writes to keys which it does not declare has those copied, which the primary tells: %s',
    async (_, renamed) => {
      await start(renamed)
      const app = path.client()
      const source =
        "redis.call('set', KEYS[1] .. ':at', redis.call('time')[2]) return redis.call('incr', KEYS[1] .. ':n')"
      await app.eval(source, 1, 'job:a')
      const sha = (await app.script('LOAD', source)) as string
      await app.evalsha(sha, 1, 'job:b')
      await app.multi().select(1).evalsha(sha, 1, 'job:c').exec()
      await app.select(0)
      // Nobody has seen the source of this one.
      const unseen = (await old
        .client()
        .script('LOAD', "return redis.call('rpush', KEYS[1] .. ':list', 'a')")) as string
      await app.evalsha(unseen, 1, 'job:d')
      expect(await old.client().exists('job:a:at', 'job:b:n', 'job:d:list')).toBe(3)
      await equal()
      expect(counters()).toMatchObject({ errors: 0, needsVerify: false })
    },
  )

  test('of that kind has them copied also where only they are mirrored, not what it declares', async () => {
    const renamed = { store: 'old', keys: { 'job:{id}': 'step:{id}' } }
    path = await startDataPath({
      stores: { old },
      routes: [
        { name: 'jobs', keys: ['job:{id}'], source: 'old', target: renamed, phase: 'mirror' },
        { name: 'rest', source: 'old' },
      ],
    })
    const app = path.client()
    const source = "redis.call('incr', KEYS[1]) return redis.call('incr', ARGV[1])"
    await app.eval(source, 1, 'declared', 'job:a')
    await eventually(async () => expect(await old.client().get('step:a')).toBe('1'))
    await app.multi().eval(source, 1, 'declared', 'job:a').exec()
    await eventually(async () => expect(await old.client().get('step:a')).toBe('2'))
    expect(await old.client().exists('step:declared')).toBe(0)
    expect(counters().needsVerify).toBe(false)
  })

  test('of that kind costs no verify when the shadow could take nothing meanwhile', async () => {
    await start(false)
    const app = path.client()
    await fresh.client().config('SET', 'maxmemory', '1')
    for (let i = 0; i < 20; i++) await app.eval("return redis.call('incr', KEYS[1] .. ':n')", 1, `job:${i}`)
    await eventually(() => expect(path.runtime.stats().routes['rest']!.dirtyReasons['state-copy']).toBeGreaterThan(20))
    await fresh.client().config('SET', 'maxmemory', '0')
    await equal()
    expect(counters().needsVerify).toBe(false)
  })

  test.each([
    ['is run again where keys have the same names', false],
    ['has its declared keys copied where they have others', true],
  ])('of that kind %s, and asks for a verify, where the primary does not tell', async (_, renamed) => {
    await old.client().call('ACL', 'SETUSER', 'default', '-client|tracking')
    try {
      await start(renamed)
      await path.client().eval("redis.call('set', KEYS[1] .. ':detail', 1) redis.call('set', KEYS[1], 1)", 1, 'job:a')
      await settled(path)
      expect(counters().needsVerify).toBe(true)
      expect(path.runtime.stats().routes['rest']!.verifyCauses).toEqual(['script'])
      expect(await fresh.client().get(renamed ? 'step:a' : 'job:a')).toBe('1')
      if (!renamed) expect(await fresh.client().get('job:a:detail')).toBe('1')
      expect(JSON.stringify(path.notices)).toContain('does not tell which keys are written')
    } finally {
      await old.client().call('ACL', 'SETUSER', 'default', '+client|tracking')
    }
  })

  test('of that kind asks for a verify of its own route alone where that says that they touch no other’s', async () => {
    await old.client().call('ACL', 'SETUSER', 'default', '-client|tracking')
    try {
      path = await startDataPath({
        stores: { old, new: fresh },
        routes: [
          { name: 'a', keys: ['a:*'], source: 'old', target: 'new', phase: 'mirror' },
          { name: 'queues', keys: ['q:*'], source: 'old', target: 'new', phase: 'mirror', scripts: 'warn' },
          { name: 'rest', source: 'old', target: 'new', phase: 'mirror', scripts: 'warn' },
        ],
      })
      const app = path.client()
      const inDoubt = () => Object.keys(path.runtime.stats().routes).filter((name) => causesOf(name).length > 0)
      const causesOf = (name: string) => path.runtime.stats().routes[name]!.verifyCauses
      const source = "return redis.call('incr', (KEYS[1] or 'x') .. ':n')"
      await app.eval(source, 1, 'q:1')
      await app.multi().eval(source, 1, 'q:1').exec()
      await settled(path)
      expect([inDoubt(), causesOf('queues')]).toEqual([['queues'], ['script']])
      expect(path.runtime.stats().routes['queues']!.counters.undeclared).toBe(2)
      // It declares keys of two routes: which of them is its own, nobody can tell.
      await app.eval(source, 2, 'other', 'q:1')
      await settled(path)
      expect(inDoubt()).toEqual(['a', 'queues', 'rest'])
    } finally {
      await old.client().call('ACL', 'SETUSER', 'default', '+client|tracking')
    }
  })

  test('of that kind asks for a verify of every route where it declares no key, or its route says nothing', async () => {
    await old.client().call('ACL', 'SETUSER', 'default', '-client|tracking')
    try {
      for (const [declared, scripts] of [
        [[], 'warn'],
        [['other'], 'copy'],
      ] as const) {
        path = await startDataPath({
          stores: { old, new: fresh },
          routes: [
            { name: 'queues', keys: ['q:*'], source: 'old', target: 'new', phase: 'mirror', scripts: 'warn' },
            { name: 'rest', source: 'old', target: 'new', phase: 'mirror', scripts },
          ],
        })
        await path.client().eval("return redis.call('incr', (KEYS[1] or 'x') .. ':n')", declared.length, ...declared)
        await eventually(() => {
          const { queues, rest } = path.runtime.stats().routes
          expect([queues!.verifyCauses, rest!.verifyCauses]).toEqual([['script'], ['script']])
        })
        await path.stop()
      }
    } finally {
      await old.client().call('ACL', 'SETUSER', 'default', '+client|tracking')
    }
  })

  test('of that kind asks for a verify where it changes what no server tells: consumer groups, times of fields', async () => {
    await start(false)
    const source = "return redis.call('xgroup', 'create', KEYS[1] .. ':stream', 'g', '0', 'mkstream')"
    await path.client().eval(source, 1, 'job:a')
    await eventually(() => expect(counters().needsVerify).toBe(true))
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  test('of that kind that runs while the primary stops telling asks for a verify; the next one is told again', async () => {
    await start(false)
    const app = path.client()
    const source = "return redis.call('incr', KEYS[1] .. ':n')"
    await app.eval(source, 1, 'job:a')
    await equal()
    const operator = old.client()
    const listing = (): Promise<string> => operator.client('LIST') as Promise<string>
    const tracking = async (): Promise<string[]> =>
      [...(await listing()).matchAll(/^id=(\d+) .* flags=\S*B/gm)].map(([, id]) => id!)
    const [id] = await tracking()
    const { inFlight } = path.runtime.stats().routes['rest']!
    old.pause()
    const killed = operator.client('KILL', 'ID', Number(id))
    const ran = app.eval(source, 1, 'job:b')
    await eventually(() => expect(path.runtime.stats().routes['rest']!.inFlight).toBe(inFlight + 1))
    old.resume()
    await Promise.all([killed, ran])
    await eventually(() => expect(path.runtime.stats().routes['rest']!.verifyCauses).toEqual(['script']))
    await eventually(async () => {
      await app.eval(source, 1, 'job:c')
      expect(await tracking()).toHaveLength(1)
    })
    await app.eval(source, 1, 'job:d')
    await eventually(async () => expect(await fresh.client().get('job:d:n')).toBe('1'))
  })
})

test('functions are loaded on both sides, and run again like scripts', async () => {
  await start(true)
  const app = path.client()
  const library = `#!lua name=counters
redis.register_function('add', function(keys, args) return redis.call('incrby', keys[1], args[1]) end)`
  await app.call('FUNCTION', 'LOAD', library)
  await app.fcall('add', 1, 'job:n', 5)
  await app.fcall('add', 1, 'job:n', 6)
  await settled(path)
  expect(counters()).toMatchObject({ applied: 3, copied: 0, errors: 0 })
  expect(await fresh.client().get('step:n')).toBe('11')
})

test('a key that went to another database is copied there', async () => {
  await start(true)
  const app = path.client()
  await app.mset('job:a', 1, 'job:b', 2)
  await app.move('job:a', 3)
  await app.call('COPY', 'job:b', 'job:c', 'DB', 2)
  await settled(path)
  expect(await driftBetween(old, fresh, { databases: [0, 2, 3], toShadow })).toEqual([])
  await Promise.all([old, fresh].map((server) => server.client().flushall()))
})

describe('functions whose library has not passed by', () => {
  const LIBRARY = `#!lua name=here
local function note(keys, args) return redis.call('incr', keys[1] .. ':' .. args[1]) end
redis.register_function('count', function(keys) return redis.call('incr', keys[1]) end)
redis.register_function('note', note)
redis.register_function{
  function_name = 'peek', flags = { 'no-writes' }, callback = function(keys) return redis.call('get', keys[1]) end
}`

  test('are read at the store: what they write is copied, and what only reads is not mirrored', async () => {
    await old.client().call('FUNCTION', 'LOAD', LIBRARY)
    await start(true)
    const app = path.client()
    // Of that name, and something else.
    await fresh
      .client()
      .call(
        'FUNCTION',
        'LOAD',
        "#!lua name=here\nredis.register_function('count', function(k) return redis.call('decr', k[1]) + 2 end)",
      )
    await app.fcall('count', 1, 'job:a')
    await app.fcall('note', 1, 'job:a', 'n')
    await app.multi().fcall('note', 1, 'job:b', 'n').exec()
    await equal()
    expect(counters()).toMatchObject({ applied: 0, errors: 0, needsVerify: false })
    const before = counters()
    expect(await app.fcall('peek', 1, 'job:a')).toBe('1')
    await settled(path)
    expect(counters()).toEqual(before)
  })

  /** An application whose library somebody has replaced at the primary. */
  const withReplaced = async (): Promise<Redis> => {
    await start(false)
    const app = path.client()
    await app.call('FUNCTION', 'LOAD', LIBRARY)
    expect(await app.fcall('count', 1, 'n')).toBe(1)
    await settled(path)
    const other = LIBRARY.replace("'incr', keys[1])", "'incrby', keys[1], 5)")
    await old.client().call('FUNCTION', 'LOAD', 'REPLACE', other)
    return app
  }
  const broughtOver = async (): Promise<void> => {
    await eventually(() => expect(path.runtime.stats().routes['rest']!.verifyCauses).toContain('script'))
    await eventually(async () =>
      expect(String(await fresh.client().call('FUNCTION', 'LIST', 'WITHCODE'))).toContain("'incrby', keys[1], 5)"),
    )
  }

  test('past Understudy: a library that somebody replaces while it is called is brought over, and a verify asked for', async () => {
    const app = await withReplaced()
    // What it answers here it could answer there, and have done something else.
    await app.fcall('count', 1, 'n')
    await broughtOver()
    await app.fcall('count', 1, 'n')
    await equal()
  })

  test('the same where it is met behind a new connection', async () => {
    const app = await withReplaced()
    await app.fcall('count', 1, 'n')
    await path.client({ db: 3 }).get('n')
    await app.fcall('count', 1, 'n')
    await broughtOver()
  })

  test('one that another sidecar brings asks for no verify while its calls are copied', async () => {
    await start(false)
    const app = path.client()
    const versions = [LIBRARY, `${LIBRARY}\n-- 2`, `${LIBRARY}\n-- 3`]
    for (const version of versions) {
      for (const server of [old, fresh]) await server.client().call('FUNCTION', 'LOAD', 'REPLACE', version)
      await path.client({ db: 3 + versions.indexOf(version) }).get('n')
      await app.fcall('count', 1, 'n')
      await equal()
    }
    expect(counters()).toMatchObject({ needsVerify: false })
  })
})
