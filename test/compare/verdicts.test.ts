import { describe, expect, test } from 'vitest'
import type { Finding } from '../../src/compare/finding.ts'
import type { Phase } from '../../src/config/config.ts'
import { type DataPathUnderTest, type RouteOptions, startDataPath } from '../support/data-path.ts'
import { eventually } from '../support/eventually.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { shadowUp } from '../support/shadow-up.ts'

/** How a test that runs beside others has its servers stopped. */
type Finish = (stop: () => Promise<void>) => void

async function start(finish: Finish, compare: RouteOptions['compare'] = {}, phase: Phase = 'shadow') {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [
      {
        name: 'all',
        keys: ['job:{id}', '*'],
        phase,
        source: 'old',
        target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } },
        compare: { sample: 1, ...compare },
      },
    ],
  })
  finish(async () => {
    await path.stop()
    await old.stop()
    await fresh.stop()
  })
  await shadowUp(path)
  return { old, fresh, path, app: path.client(), there: fresh.client() }
}

function findings(path: DataPathUnderTest): Finding[] {
  return path.notices.flatMap((notice) => (notice.kind === 'finding' ? [notice.finding] : []))
}

function stats(path: DataPathUnderTest) {
  return path.runtime.stats().routes['all']!
}

async function allRechecked(path: DataPathUnderTest): Promise<void> {
  await settled(path)
  await eventually(() => {
    const { underWay, rechecking } = stats(path).compare
    expect({ underWay, rechecking }).toEqual({ underWay: 0, rechecking: 0 })
  })
}

async function clientCalls(server: RedisServer, command: string): Promise<number> {
  const info = await server.client().info('commandstats')
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(info)?.[1] ?? 0)
}

describe.concurrent('eviction on one side', () => {
  test.concurrent('is told from a loss: a store whose policy takes such keys, and that has taken some', async ({
    onTestFinished,
  }) => {
    const { fresh, path, app, there } = await start(onTestFinished)
    await there.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await evictSomething(fresh)
    await app.set('job:2', 'a')
    await settled(path)
    await there.del('step:2')
    await app.get('job:2')
    await allRechecked(path)
    expect(findings(path)).toMatchObject([{ class: 'missing', cause: 'eviction' }])
  })
})

async function evictSomething(server: RedisServer): Promise<void> {
  const client = server.client()
  await client.set('victim', 'x'.repeat(100_000))
  await client.config('SET', 'maxmemory', '1')
  await eventually(async () => {
    await client.set('another', 'x'.repeat(1_000)).catch(() => {})
    expect(Number(/evicted_keys:(\d+)/.exec(await client.info('stats'))![1])).toBeGreaterThan(0)
  })
  await client.config('SET', 'maxmemory', '0')
}

describe.concurrent('keys that are about to expire', () => {
  test.concurrent('are forgiven when one side has let them go a moment before the other', async ({
    onTestFinished,
  }) => {
    const { path, app, there } = await start(onTestFinished, { ttlToleranceMs: 60_000 })
    await app.set('job:1', 'a', 'PX', 3_000)
    await app.sadd('t1', 'x')
    await app.sadd('t2', 'x')
    await app.expire('t2', 3)
    await settled(path)
    await there.del('step:1')
    await there.del('t2')
    for (let i = 0; i < 5; i++) await app.get('job:1')
    await app.sinter('t1', 't2')
    await allRechecked(path)
    expect(findings(path)).toEqual([])
    expect(stats(path).counters).toMatchObject({ mismatched: 0, transient: 6, compared: 6 })
  })

  test.concurrent('are reported when they had longer than that, however far times may be apart', async ({
    onTestFinished,
  }) => {
    const { path, app, there } = await start(onTestFinished, { ttlToleranceMs: 120_000 })
    await app.set('job:1', 'a', 'PX', 60_000)
    await settled(path)
    await there.del('step:1')
    await app.get('job:1')
    await allRechecked(path)
    expect(findings(path)).toMatchObject([{ class: 'missing', cause: null }])
  })
})

describe.concurrent('answers that differ over the same data', () => {
  test.concurrent('are told apart: the stores, not the keys, are different', async ({ onTestFinished }) => {
    const { path, app, there } = await start(onTestFinished)
    await app.zadd('z', 1, 'a')
    await settled(path)
    // A store that answers in its own way: here, one whose command has been taken away.
    await there.call('ACL', 'SETUSER', 'default', '-zscore')
    await app.zscore('z', 'a')
    await allRechecked(path)
    expect(findings(path)).toMatchObject([{ class: 'error', cause: 'same-data', command: 'ZSCORE' }])
  })

  test.concurrent('are not told of what the look at the keys leaves out: who was given the entries of a stream', async ({
    onTestFinished,
  }) => {
    const { path, app, there } = await start(onTestFinished, { repair: true })
    await app.xadd('s', '1-1', 'f', 'v')
    await app.xgroup('CREATE', 's', 'g', '0')
    await app.xreadgroup('GROUP', 'g', 'c', 'STREAMS', 's', '>')
    await settled(path)
    await there.xack('s', 'g', '1-1')
    await app.xpending('s', 'g')
    await allRechecked(path)
    expect(findings(path)).toMatchObject([{ cause: null, command: 'XPENDING' }])
    await eventually(async () => expect(await there.xpending('s', 'g')).toEqual([1, '1-1', '1-1', [['c', '1']]]))
  })
})

describe.concurrent('a big key', () => {
  test.concurrent.for([
    ['list', ['RPUSH'], (n: number) => [`e${n}`], ['LSET', 'big', '15000', 'other'], ['LINDEX', 'big', '15000']],
    [
      'hash',
      ['HSET'],
      (n: number) => [`f${n}`, `v${n}`],
      ['HSET', 'big', 'f15000', 'other'],
      ['HGET', 'big', 'f15000'],
    ],
    ['set', ['SADD'], (n: number) => [`m${n}`], ['SREM', 'big', 'm15000'], ['SISMEMBER', 'big', 'm15000']],
    [
      'sorted set',
      ['ZADD'],
      (n: number) => [`${n}`, `m${n}`],
      ['ZADD', 'big', '1.5', 'm15000'],
      ['ZSCORE', 'big', 'm15000'],
    ],
  ] as const)(
    'of type %s is looked at in pieces, while it is written',
    async ([_type, [add], item, tamper, read], { onTestFinished }) => {
      const { fresh, path, app, there } = await start(onTestFinished)
      for (let n = 0; n < 20_000; n += 1_000)
        await app.call(add, 'big', ...Array.from({ length: 1_000 }, (_, i) => item(n + i)).flat())
      await settled(path)
      await there.call(...(tamper as readonly [string, ...string[]]))
      await app.call(...(read as readonly [string, ...string[]]))
      let going = true
      const writing = (async () => {
        for (let n = 60_000; going; n++) await app.call(add, 'big', ...item(n))
      })()
      await allRechecked(path)
      going = false
      await writing
      expect(findings(path)).toMatchObject([{ command: read[0], cause: null }])
      const slowest = await there.call('SLOWLOG', 'GET', '10')
      // No question of the comparer is for the whole key: what is slow is the preparation.
      expect(JSON.stringify(slowest)).not.toMatch(/HGETALL|SMEMBERS|"-1"/)
      expect(await clientCalls(fresh, 'hgetall')).toBe(0)
      expect(await clientCalls(fresh, 'smembers')).toBe(0)
    },
  )
})

describe.concurrent('read-only scripts', () => {
  test.concurrent('are compared, whatever the order of their answer', async ({ onTestFinished }) => {
    const { path, app } = await start(onTestFinished)
    await app.sadd('job:1', ...Array.from({ length: 300 }, (_, i) => `m${i}`))
    await settled(path)
    await app.call('EVAL_RO', "return redis.call('smembers',KEYS[1])", 1, 'job:1')
    await allRechecked(path)
    expect(stats(path).counters).toMatchObject({ matched: 1, mismatched: 0 })
  })

  test.concurrent('show a difference of a declared key', async ({ onTestFinished }) => {
    const { path, app, there } = await start(onTestFinished)
    await app.hset('job:1', 'f', 'v')
    await settled(path)
    await there.hset('step:1', 'f', 'x')
    await app.call('EVAL_RO', "return redis.call('hget',KEYS[1],'f')..'!'", 1, 'job:1')
    await allRechecked(path)
    expect(findings(path)).toMatchObject([{ command: 'EVAL_RO', class: 'value' }])
    expect(String(findings(path)[0]!.key)).toBe('job:1')
  })

  test.concurrent('whose answer is the time, or random, are no alarm', async ({ onTestFinished }) => {
    const { path, app } = await start(onTestFinished)
    await app.set('job:1', 'a')
    await settled(path)
    await app.call('EVAL_RO', "return redis.call('time')[2]..KEYS[1]", 1, 'job:1')
    await allRechecked(path)
    expect(findings(path)).toEqual([])
    expect(stats(path).compare.skipped).toMatchObject({ script: 1 })
  })

  test.concurrent('EVAL with the flag no-writes is one of them, and copies nothing', async ({ onTestFinished }) => {
    const { path, app, there } = await start(onTestFinished)
    await app.set('job:1', 'a')
    await settled(path)
    await there.set('step:1', 'b')
    await app.call('EVAL', "#!lua flags=no-writes\nreturn redis.call('get',KEYS[1])", 1, 'job:1')
    await allRechecked(path)
    expect(findings(path)).toMatchObject([{ command: 'EVAL_RO', class: 'value' }])
    expect(stats(path).counters).toMatchObject({ dirtied: 0 })
    await app.call('EVAL', "#!lua\nreturn redis.call('get',KEYS[1])", 1, 'job:1')
    await settled(path)
    expect(stats(path).counters.compared).toBe(1)
  })

  test.concurrent('are loaded where they are compared, also again after the shadow was restarted', async ({
    onTestFinished,
  }) => {
    const { path, app, fresh, there } = await start(onTestFinished)
    const sha = String(await app.call('SCRIPT', 'LOAD', "return redis.call('get',KEYS[1])"))
    for (let matched = 1; matched <= 2; matched++) {
      await settled(path)
      await fresh.kill9()
      await fresh.restart()
      await eventually(async () => expect(await there.ping()).toBe('PONG'))
      await app.set('job:1', 'a')
      await eventually(async () => expect(await there.get('step:1')).toBe('a'))
      await settled(path)
      expect(await app.call('EVALSHA_RO', sha, 1, 'job:1')).toBe('a')
      await allRechecked(path)
      expect(stats(path).counters).toMatchObject({ matched, mismatched: 0 })
    }
    // The application does not count on it any more.
    await app.script('FLUSH')
    await settled(path)
    await expect(app.call('EVALSHA_RO', sha, 1, 'job:1')).rejects.toThrow('NOSCRIPT')
    await allRechecked(path)
    expect(stats(path).counters).toMatchObject({ mismatched: 0 })
    expect(await there.script('EXISTS', sha)).toEqual([0])
  })

  test.concurrent('functions too; one that the shadow lacks says nothing', async ({ onTestFinished }) => {
    const { path, app, old } = await start(onTestFinished)
    const library =
      "#!lua name=lib\nredis.register_function{function_name='f',callback=function(k) return redis.call('get',k[1]) end,flags={'no-writes'}}"
    await app.set('job:1', 'a')
    await old.client().call('FUNCTION', 'LOAD', library)
    await settled(path)
    await app.call('FCALL_RO', 'f', 1, 'job:1')
    await allRechecked(path)
    expect(stats(path).compare.skipped).toMatchObject({ script: 1 })
    await app.call('FUNCTION', 'LOAD', 'REPLACE', library)
    await settled(path)
    await app.call('FCALL_RO', 'f', 1, 'job:1')
    await allRechecked(path)
    expect(stats(path).counters).toMatchObject({ matched: 1 })
    expect(findings(path)).toEqual([])
  })

  test.concurrent('a function that only reads is asked on the shadow as one: what is called so there may write', async ({
    onTestFinished,
  }) => {
    const { path, app, old, there } = await start(onTestFinished)
    const body = "redis.call('hincrby', k[1], 'reads', 1) return redis.call('hget', k[1], 'v')"
    await old
      .client()
      .call(
        'FUNCTION',
        'LOAD',
        "#!lua name=lib\nredis.register_function{function_name='f',callback=function(k) return redis.call('hget',k[1],'v') end,flags={'no-writes'}}",
      )
    await there.call('FUNCTION', 'LOAD', `#!lua name=lib\nredis.register_function('f', function(k) ${body} end)`)
    await app.hset('job:1', 'v', 'a')
    await settled(path)
    await app.call('FCALL', 'f', 1, 'job:1')
    await allRechecked(path)
    expect(await there.hgetall('step:1')).toEqual({ v: 'a' })
    expect(stats(path).compare.skipped).toMatchObject({ script: 1 })
  })
})

describe.concurrent('keys in answers', () => {
  test.concurrent('are compared by the names that the application knows', async ({ onTestFinished }) => {
    const { path, app, there } = await start(onTestFinished)
    await app.xadd('job:1', '1-1', 'f', 'v')
    await app.xadd('job:2', '1-1', 'f', 'v')
    await settled(path)
    await app.call('XREAD', 'STREAMS', 'job:1', 'job:2', '0', '0')
    await allRechecked(path)
    expect(stats(path).counters).toMatchObject({ matched: 1 })
    // Each side has entries of one stream alone, and they are the same: but not the same stream's.
    await there.xtrim('step:1', 'MAXLEN', 0)
    await app.xtrim('job:2', 'MAXLEN', 0)
    await settled(path)
    await there.xadd('step:2', '1-1', 'f', 'v').catch(() => {})
    await there.del('step:2')
    await there.xadd('step:2', '1-1', 'f', 'v')
    await app.call('XREAD', 'STREAMS', 'job:1', 'job:2', '0', '0')
    await allRechecked(path)
    expect(findings(path)).toMatchObject([{ command: 'XREAD', class: 'value' }])
  })
})

describe.concurrent('what is not compared', () => {
  test.concurrent('is counted by its reason', async ({ onTestFinished }) => {
    const { path, app } = await start(onTestFinished)
    await app.xadd('x', '1-1', 'f', 'v')
    await app.set('huge', 'x'.repeat(2_000_000))
    await settled(path)
    await app.call('XREAD', 'STREAMS', 'x', '$')
    await app.get('huge')
    await settled(path)
    await eventually(() => expect(stats(path).compare.skipped).toMatchObject({ arbitrary: 1, large: 1 }))
    expect(stats(path).counters).toMatchObject({ compared: 0, skipped: 2 })
  })
})

describe.concurrent('a difference', () => {
  test.concurrent('counts for every read that shows it while it is looked at again', async ({ onTestFinished }) => {
    const { path, there } = await start(onTestFinished)
    await there.set('extra', 'a')
    const client = await path.raw()
    for (let i = 0; i < 100; i++) client.command('GET', 'extra')
    await client.take(100)
    await allRechecked(path)
    expect(findings(path)).toMatchObject([{ count: 100 }])
    expect(stats(path).counters).toMatchObject({ compared: 100, mismatched: 100 })
    expect(stats(path).compare.windows['1m']).toEqual({ compared: 100, mismatched: 100 })
    expect(stats(path).compare.commands['GET']).toMatchObject({ compared: 100, mismatched: 100 })
  })

  test.concurrent('that is acknowledged is told, and is no part of the rate', async ({ onTestFinished }) => {
    const { path, app, there } = await start(onTestFinished)
    path.runtime.setAcknowledgements([
      { route: 'all', pattern: 'extra:<n>', command: null, class: null, untilMs: null },
      { route: 'all', pattern: 'more:<n>', command: null, class: null, untilMs: Date.now() - 1 },
    ])
    await there.mset('extra:1', 'a', 'more:1', 'a')
    await app.get('extra:1')
    await app.get('more:1')
    await allRechecked(path)
    expect(
      findings(path)
        .map(({ key, acknowledged }) => [String(key), acknowledged])
        .sort(),
    ).toEqual([
      ['extra:1', true],
      ['more:1', false],
    ])
    expect(stats(path).compare.windows['1m']).toEqual({ compared: 2, mismatched: 1 })
    expect(stats(path).counters).toMatchObject({ mismatched: 1 })
    expect(stats(path).compare.acknowledged).toBe(1)
  })

  test.concurrent('is repaired where the route says so, at the key that differs, and counted', async ({
    onTestFinished,
  }) => {
    const { path, app, there } = await start(onTestFinished, { repair: true })
    await app.mset('job:1', 'a', 'job:2', 'a')
    await settled(path)
    await there.set('step:2', 'b')
    await app.mget('job:1', 'job:2')
    await allRechecked(path)
    await settled(path)
    expect(await there.get('step:2')).toBe('a')
    expect(findings(path).map(({ key }) => String(key))).toEqual(['job:2'])
    expect(stats(path).compare.repaired).toBe(1)
  })

  test.concurrent('is not repaired where the primary lacks the key: what the shadow has may be its last copy', async ({
    onTestFinished,
  }) => {
    const { old, path, app, there } = await start(onTestFinished, { repair: true })
    await app.rpush('job:1', 'a', 'b')
    await settled(path)
    await old.client().del('job:1')
    await app.llen('job:1')
    await allRechecked(path)
    await settled(path)
    expect(findings(path)).toMatchObject([{ command: 'LLEN', lackingOn: 'primary' }])
    expect(await there.llen('step:1')).toBe(2)
    expect(stats(path).compare.repaired).toBe(0)
  })

  test.concurrent('is not repaired where the primary may never have had what it differs in, nor before that is known of the routes in force', async ({
    onTestFinished,
  }) => {
    const { path, app, there } = await start(onTestFinished, { repair: true })
    await app.mset('job:1', 'a', 'job:2', 'a')
    await settled(path)
    await there.mset('step:1', 'b', 'step:2', 'b')
    const tellings = [
      [[], 0],
      [['all'], 1],
    ] as const
    for (const [names, generation] of tellings) {
      path.runtime.setCompletePrimaries(names, generation)
      const before = findings(path).length
      await eventually(async () => {
        await app.get('job:1')
        await allRechecked(path)
        expect(findings(path).length).toBeGreaterThan(before)
      })
    }
    await settled(path)
    expect(await there.get('step:1')).toBe('b')
    expect(stats(path).compare.repaired).toBe(0)
    path.runtime.setCompletePrimaries(['all'], 0)
    await app.get('job:2')
    await allRechecked(path)
    await settled(path)
    expect(await there.mget('step:1', 'step:2')).toEqual(['b', 'a'])
  })

  test.concurrent('is not repaired while the route needs a verify, for nobody knows which side is right', async ({
    onTestFinished,
  }) => {
    const { old, path, app, there } = await start(onTestFinished, { repair: true })
    await app.set('job:1', 'a')
    await settled(path)
    await old.restart()
    await eventually(() => expect(stats(path).verifyCauses).toContain('primary-restarted'))
    // As it was before, from its file.
    await old.client().set('job:1', 'older')
    // A second look may find that the connection to the restarted primary is not there yet: its sample is dropped.
    await eventually(async () => {
      expect(await app.get('job:1')).toBe('older')
      await allRechecked(path)
      expect(findings(path)).not.toEqual([])
    })
    await settled(path)
    expect(findings(path)[0]).toMatchObject({ command: 'GET', lackingOn: null })
    expect(await there.get('step:1')).toBe('a')
    expect(stats(path).compare.repaired).toBe(0)
  })
})

describe.concurrent('baseline', () => {
  test.concurrent('asks the primary twice and the shadow never', async ({ onTestFinished }) => {
    const { fresh, path, app, there } = await start(onTestFinished, { baseline: true })
    await app.set('job:1', 'a')
    await settled(path)
    await there.set('step:1', 'b')
    for (let i = 0; i < 10; i++) await app.get('job:1')
    await app.call('EVAL_RO', "return redis.call('time')[2]", 1, 'job:1')
    await eventually(() => expect(stats(path).compare.baseline).toEqual({ compared: 11, differed: 1 }))
    expect(findings(path)).toMatchObject([{ command: 'EVAL_RO', cause: 'baseline' }])
    expect(stats(path).counters).toMatchObject({ compared: 0, mismatched: 0 })
    expect(await clientCalls(fresh, 'get')).toBe(0)
  })

  test.concurrent('is quiet under writes: what came between the two is not counted', async ({ onTestFinished }) => {
    const { path } = await start(onTestFinished, { baseline: true })
    const [writer, other, reader] = await Promise.all([path.raw(), path.raw(), path.raw()])
    await other.ask('HELLO', 3)
    for (let i = 0; i < 300; i++) {
      writer.command('INCR', 'job:1')
      other.command('INCR', 'job:1')
      reader.command('GET', 'job:1')
      if (i % 50 === 49) for (const client of [writer, other, reader]) await client.take(50)
    }
    await settled(path)
    await eventually(() => {
      const { baseline, skipped } = stats(path).compare
      expect(baseline.compared + skipped.disturbed).toBe(300)
    })
    expect(stats(path).compare.baseline.differed).toBe(0)
  })
})

describe.concurrent('the latency of both roles', () => {
  test.concurrent('is of the same reads, so that a slower shadow is seen', async ({ onTestFinished }) => {
    const { fresh, path, app } = await start(onTestFinished)
    await app.set('job:1', 'a')
    await settled(path)
    for (let i = 0; i < 3; i++) {
      fresh.pause()
      await app.get('job:1')
      await new Promise((resolve) => setTimeout(resolve, 150))
      fresh.resume()
      await eventually(() => expect(stats(path).counters.compared).toBe(i + 1))
    }
    const { primaryTimes, shadowTimes } = stats(path).compare
    const count = (counts: readonly number[]) => counts.reduce((sum, n) => sum + n, 0)
    expect(count(primaryTimes.counts)).toBe(3)
    expect(count(shadowTimes.counts)).toBe(3)
    expect(shadowTimes.sum).toBeGreaterThan(0.3)
  })
})

describe.concurrent('a shadow that does not keep up', () => {
  test.concurrent('costs samples, counted by their reason, and no client waits', async ({ onTestFinished }) => {
    const { path, app, there } = await start(onTestFinished)
    await app.set('job:1', 'a')
    await settled(path)
    await there.call('CLIENT', 'PAUSE', '60000', 'ALL')
    const client = await path.raw()
    for (let i = 0; i < 30; i++) {
      for (let n = 0; n < 1_000; n++) client.command('GET', 'job:1')
      for (const reply of await client.take(1_000)) if (reply !== '$1\r\na\r\n') throw new Error(reply)
    }
    const { skipped } = stats(path).compare
    expect(skipped.busy).toBeGreaterThan(10_000)
    expect(stats(path).counters).toMatchObject({ compared: 0, mismatched: 0 })
  })
})

describe.concurrent('sampling', () => {
  test.concurrent('changes while it runs: share, always and never', async ({ onTestFinished }) => {
    const { path, app, there } = await start(onTestFinished, { sample: 0 })
    await there.mset('a', '1', 'vip:1', '1', 'never:1', '1')
    const read = async (): Promise<string[]> => {
      path.notices.splice(0)
      await Promise.all([app.get('a'), app.get('vip:1'), app.get('never:1')])
      await allRechecked(path)
      return findings(path)
        .map(({ key }) => String(key))
        .sort()
    }
    const apply = (compare: RouteOptions['compare']): Promise<unknown> => {
      const routes = path.config.routes.map((route) => ({ ...route, compare: { ...route.compare, ...compare } }))
      return path.runtime.apply({
        config: { ...path.config, routes },
        endpoints: {},
        generation: path.runtime.stats().generation + 1,
        hold: [],
        needsEqual: [],
        forget: [],
        holdTimeoutMs: 1_000,
      })
    }
    expect(await read()).toEqual([])
    await apply({ sample: 0, always: ['vip:{id}'] })
    expect(await read()).toEqual(['vip:1'])
    await apply({ sample: 1, always: ['vip:{id}'], never: ['never:{id}'] })
    expect(await read()).toEqual(['a', 'vip:1'])
    await apply({ sample: 0 })
    expect(await read()).toEqual([])
  })
})

describe.concurrent('a source whose keys a job deletes', () => {
  test.concurrent('is compared with no more as the shadow, nor is what was under way then confirmed or mended', async ({
    onTestFinished,
  }) => {
    const { old, path, app } = await start(onTestFinished, { repair: true }, 'switched')
    await app.mset('a', '1', 'b', '2')
    await settled(path)
    const source = old.client()
    await source.del('a')
    await app.get('a')
    await eventually(() => expect(stats(path).compare.rechecking).toBe(1))
    path.runtime.setAlteredSources(['all'])
    await source.del('b')
    await app.get('b')
    await allRechecked(path)
    expect(findings(path)).toEqual([])
    expect(stats(path).compare.skipped.altered).toBe(2)
    expect(await source.exists('a', 'b')).toBe(0)
    path.runtime.setAlteredSources([])
    await app.get('a')
    await allRechecked(path)
    expect(findings(path)).toMatchObject([{ class: 'missing', phase: 'switched' }])
  })

  test.concurrent('is compared with as the primary', async ({ onTestFinished }) => {
    const { path, app, there } = await start(onTestFinished)
    await app.set('a', '1')
    await settled(path)
    path.runtime.setAlteredSources(['all'])
    await there.del('a')
    await app.get('a')
    await allRechecked(path)
    expect(findings(path)).toMatchObject([{ class: 'missing', phase: 'shadow' }])
  })
})
