import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DataPathContext } from '../../../src/mirror/context.ts'
import { Durability } from '../../../src/mirror/crash/durability.ts'
import { SegmentReader } from '../../../src/mirror/crash/intent-segment.ts'
import { lastRunIn } from '../../../src/mirror/crash/last-run.ts'
import { DirtySet } from '../../../src/mirror/dirty/dirty-set.ts'
import { RouteTable } from '../../../src/routing/route-table.ts'
import type { Store } from '../../../src/upstream/store.ts'
import { copyAsJob } from '../../support/copy-as-job.ts'
import { configOf, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'
import { Random } from '../../support/write-load.ts'

const running: { stop(): Promise<unknown> }[] = []
let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'durability-'))
})
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
  rmSync(dir, { recursive: true })
})

const ROUTE = { name: 'all', source: 'old', target: 'new', phase: 'mirror' } as const

async function start(
  stores: Parameters<typeof startDataPath>[0]['stores'],
  stateDir = join(dir, 'state'),
  timeoutMs = 20_000,
) {
  const path = await startDataPath({ stores, routes: [ROUTE], stateDir, store: { timeoutMs } })
  running.push(path)
  return path
}

async function redises(): Promise<{ old: RedisServer; fresh: RedisServer }> {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  return { old, fresh }
}

/** The directory as a crash in this very moment would leave it: nothing else runs in this thread meanwhile. */
function crashCopy(): string {
  const copy = mkdtempSync(join(dir, 'crash-'))
  cpSync(join(dir, 'state'), copy, { recursive: true })
  return copy
}

function segmentsOf(stateDir: string): string[] {
  return readdirSync(join(stateDir, 'intent'))
    .filter((name) => name.endsWith('.log'))
    .sort()
}

function intentsOf(stateDir: string): Set<string> {
  const keys = new Set<string>()
  for (const name of segmentsOf(stateDir)) {
    const reader = new SegmentReader(readFileSync(join(stateDir, 'intent', name)))
    while (
      reader.read(
        {
          key: (_, key) => keys.add(key.toString()),
          everyKey: () => keys.add('every key'),
          functions: () => keys.add('functions'),
          unnamedKeys: () => keys.add('unnamed'),
        },
        1_000,
      )
    );
    expect(reader.end).toBe('whole')
  }
  return keys
}

/** Noted keys as `database:key`. */
function placesOf(stateDir: string): Set<string> {
  const places = new Set<string>()
  for (const name of segmentsOf(stateDir)) {
    const reader = new SegmentReader(readFileSync(join(stateDir, 'intent', name)))
    while (
      reader.read(
        {
          key: (database, key) => places.add(`${database}:${key}`),
          everyKey: () => {},
          functions: () => {},
          unnamedKeys: () => {},
        },
        1_000,
      )
    );
  }
  return places
}

function dirtyPlacesOf(stateDir: string): Set<string> {
  const database = new DatabaseSync(join(stateDir, 'dirty.db'))
  const rows = database.prepare('SELECT database, key FROM dirty_keys').all() as {
    database: number
    key: Uint8Array
  }[]
  database.close()
  return new Set(rows.map(({ database, key }) => `${database}:${Buffer.from(key)}`))
}

function dirtyOf(stateDir: string): Set<string> {
  return new Set([...dirtyPlacesOf(stateDir)].map((place) => place.slice(place.indexOf(':') + 1)))
}

function stateOf(path: DataPathUnderTest) {
  const { dirtyKeys, dirtyReasons, verifyCauses } = path.runtime.stats().routes['all']!
  // Functions come over by themselves.
  return { dirtyKeys, dirtyReasons, needsVerify: verifyCauses.some((cause) => cause !== 'functions') }
}

function logged(path: DataPathUnderTest): string[] {
  return path.notices.flatMap((notice) => (notice.kind === 'log' ? [notice.line.msg] : []))
}

describe('at any moment of a crash', () => {
  test('keys that a command writes in another database are known there', async () => {
    const { old, fresh } = await redises()
    const path = await start({ old, new: fresh })
    const client = await path.raw()
    for (const key of ['a', 'b', 'c', 'd']) await client.ask('SET', key, '1')
    fresh.pause()
    expect(await client.ask('MOVE', 'a', '1')).toBe(':1\r\n')
    expect(await client.ask('COPY', 'b', 'b2', 'DB', '2')).toBe(':1\r\n')
    for (const command of [
      ['MULTI'],
      ['MOVE', 'c', '3'],
      ['SELECT', '4'],
      ['SET', 'e', '1'],
      ['COPY', 'e', 'e2', 'DB', '5'],
    ])
      await client.ask(...command)
    expect(await client.ask('EXEC')).toBe('*4\r\n:1\r\n+OK\r\n+OK\r\n:1\r\n')
    // On a slow machine the shadow may have been given up by now: its keys are dirty then, and no intents any more.
    const copy = crashCopy()
    const known = new Set([...placesOf(copy), ...dirtyPlacesOf(copy)])
    for (const place of ['1:a', '2:b2', '3:c', '4:e', '5:e2']) expect([...known]).toContain(place)
    fresh.resume()
    await settled(path)
    expect(await driftBetween(old, fresh, { databases: [0, 1, 2, 3, 4, 5] })).toEqual([])
  })

  test('every write that a client knows of is on the shadow, or known; and before the primary has it, it is known', async () => {
    const random = new Random(Number(process.env['LOAD_SEED'] ?? 7))
    const onPrimary = new Set<string>()
    const onShadow = new Set<string>()
    const acknowledged = new Set<string>()
    let moments = 0
    let doubts = 0
    const check = (): void => {
      const copy = crashCopy()
      const known = new Set([...intentsOf(copy), ...dirtyOf(copy)])
      const unknown = [...onPrimary].filter((key) => !onShadow.has(key) && !known.has(key))
      expect({ moments, unknown }).toEqual({ moments, unknown: [] })
      expect([...acknowledged].filter((key) => !onPrimary.has(key))).toEqual([])
      rmSync(copy, { recursive: true })
      moments++
      doubts += [...onPrimary].filter((key) => !onShadow.has(key)).length
    }
    const failures: unknown[] = []
    const primary = await FakeStore.start((args) => {
      if (args[0] !== 'SET' && args[0] !== 'EXEC' && args[0] !== 'MULTI') return '-ERR not here\r\n'
      if (args[0] === 'MULTI') return '+OK\r\n'
      if (args[0] === 'EXEC') return '*1\r\n+OK\r\n'
      onPrimary.add(args[1]!)
      try {
        if (random.below(60) === 0) check()
      } catch (error) {
        failures.push(error)
      }
      return args[1]!.startsWith('unit') ? '+QUEUED\r\n' : '+OK\r\n'
    })
    let mood: 'well' | 'silent' | 'errs' = 'well'
    // A connection that has left out one answer gives no other.
    const dumb = new Set<unknown>()
    const shadow = await FakeStore.start((args, socket) => {
      if (mood === 'silent') dumb.add(socket)
      if (dumb.has(socket)) return null
      if (args[0] !== 'SET') return args[0] === 'PING' ? '+PONG\r\n' : '-ERR not here\r\n'
      if (mood === 'errs') return '-OOM no room\r\n'
      onShadow.add(args[1]!)
      return '+OK\r\n'
    })
    running.push(primary, shadow)
    const path = await start({ old: { port: primary.port }, new: { port: shadow.port } }, undefined, 20_000)
    const clients = await Promise.all(Array.from({ length: 4 }, () => path.raw()))
    let number = 0
    for (let round = 0; round < 60; round++) {
      mood = round % 20 === 19 ? 'silent' : random.pick(['well', 'well', 'silent', 'errs'])
      if (random.below(6) === 0) shadow.disconnect(random.below(2) === 0)
      await Promise.all(
        clients.map(async (client) => {
          const keys = Array.from({ length: 1 + random.below(20) }, () => `key:${number++}`)
          const unit = `unit:${number++}`
          for (const key of keys) client.command('SET', key, 'v')
          for (const args of [['MULTI'], ['SET', unit, 'v'], ['EXEC']]) client.command(...args)
          for (const key of [...keys, 'MULTI', 'QUEUED', unit]) {
            expect(await client.text()).toMatch(/^[+*]/)
            if (key.includes(':')) acknowledged.add(key)
          }
        }),
      )
      if (random.below(4) === 0) check()
      // Long enough for segments to end: with nothing in doubt they are dropped, with a shadow that is silent they are not.
      if (round % 10 === 9) {
        const segment = segmentsOf(join(dir, 'state')).at(-1)
        await eventually(() => expect(segmentsOf(join(dir, 'state'))).not.toContain(segment), {
          timeoutMs: 1_300,
        }).catch(() => {})
        check()
      }
    }
    check()
    expect(failures).toEqual([])
    expect(moments).toBeGreaterThan(40)
    // It would prove nothing if nothing had ever been in doubt.
    expect(doubts).toBeGreaterThan(1_000)
  }, 240_000)
})

describe('the intent log', () => {
  test('is empty when all is acknowledged, and after a stop', async () => {
    const { old, fresh } = await redises()
    const path = await start({ old, new: fresh })
    const app = path.client()
    fresh.pause()
    await app.set('a', 1)
    expect(segmentsOf(join(dir, 'state'))).toHaveLength(1)
    fresh.resume()
    await eventually(() => expect(segmentsOf(join(dir, 'state'))).toEqual([]))
    await app.set('b', 1)
    await path.stop(1_000)
    expect(segmentsOf(join(dir, 'state'))).toEqual([])
    const again = await start({ old, new: fresh })
    expect(stateOf(again)).toEqual({ dirtyKeys: 0, dirtyReasons: {}, needsVerify: false })
  })

  test('keeps what a blocked command may take, as long as it waits', async () => {
    const { old, fresh } = await redises()
    const path = await start({ old, new: fresh })
    const taker = path.client()
    const taken = taker.blpop('queue', 0)
    await eventually(() => expect(intentsOf(join(dir, 'state'))).toContain('queue'))
    const app = path.client()
    for (let i = 0; i < 3; i++) {
      const [segment] = segmentsOf(join(dir, 'state'))
      await app.set(`key:${i}`, i)
      await eventually(() => expect(segmentsOf(join(dir, 'state'))).not.toContain(segment))
      expect([...intentsOf(crashCopy())]).toEqual(['queue'])
    }
    await app.rpush('queue', 'job')
    expect(await taken).toEqual(['queue', 'job'])
    await settled(path)
    await eventually(() => expect(segmentsOf(join(dir, 'state'))).toEqual([]))
  })

  test('keeps a key whose writes have gone to a copy in pieces, until that has its name', async () => {
    const { old, fresh } = await redises()
    const path = await startDataPath({
      stores: { old, new: fresh },
      routes: [ROUTE],
      stateDir: join(dir, 'state'),
      copyLimits: { bigKeyBytes: 10_000, firstElements: 1, fewestElements: 1, pieceBytes: 1 },
    })
    running.push(path)
    const fill = "for i = 1, 100000 do redis.call('sadd', KEYS[1], 'member ' .. i) end"
    await old.client().eval(fill, 1, 'big')
    void copyAsJob(path, 'all', ['big'])
    await eventually(async () => expect(await fresh.client().keys('*')).toHaveLength(1))
    const app = path.client()
    await app.sadd('big', 'new')
    const [first] = segmentsOf(join(dir, 'state'))
    await eventually(async () => {
      await app.set('other', 1)
      expect(segmentsOf(join(dir, 'state'))).not.toContain(first)
    })
    const crashed = intentsOf(crashCopy())
    expect(await fresh.client().exists('big')).toBe(0)
    expect(crashed).toContain('big')
  })

  test('names the keys of transactions, scripts and commands with several keys; and of a command without any, all', async () => {
    const { old, fresh } = await redises()
    const path = await start({ old, new: fresh })
    const app = path.client()
    // So that none of it is acknowledged, and dropped, before it is looked for.
    fresh.pause()
    await app.watch('w')
    await app.multi({ pipeline: false })
    await app.set('pinned', 1)
    expect(intentsOf(crashCopy())).not.toContain('pinned')
    await app.exec()
    await app.multi().set('whole', 1).exec()
    await app.eval("redis.call('set', KEYS[1], 1)", 1, 'scripted')
    await app.mset('m1', 1, 'm2', 2)
    const keys = ['pinned', 'whole', 'scripted', 'm1', 'm2']
    expect([...intentsOf(crashCopy())].filter((key) => key !== 'every key').sort()).toEqual(keys.sort())
    await app.flushall()
    const crashed = crashCopy()
    expect(intentsOf(crashed)).toContain('every key')
    fresh.resume()
    await path.stop(1_000)
    const after = await start({ old, new: fresh }, crashed)
    expect(stateOf(after).needsVerify).toBe(true)
  })

  test('costs nothing where nothing is mirrored', async () => {
    const { old } = await redises()
    const path = await startDataPath({ stores: { old }, stateDir: join(dir, 'state') })
    running.push(path)
    await path.client().set('a', 1)
    expect(segmentsOf(join(dir, 'state'))).toEqual([])
  })
})

describe('after a crash', () => {
  async function crashed(): Promise<{ old: RedisServer; fresh: RedisServer; copy: string }> {
    const { old, fresh } = await redises()
    const path = await start({ old, new: fresh })
    fresh.pause()
    const app = path.client()
    for (let i = 0; i < 20; i++) await app.set(`key:${i}`, i)
    const copy = crashCopy()
    // What the process had sent to the shadow is gone with it.
    await fresh.restart()
    await path.stop()
    await fresh.client().flushall()
    return { old, fresh, copy }
  }

  test('what was being written is dirty and is copied', async () => {
    const { old, fresh, copy } = await crashed()
    await fresh.kill9()
    const path = await start({ old, new: fresh }, copy)
    expect(stateOf(path)).toEqual({ dirtyKeys: 20, dirtyReasons: { crash: 20 }, needsVerify: false })
    expect(segmentsOf(copy)).toEqual([])
    expect(dirtyOf(copyOf(copy)).size).toBe(20)
    await fresh.restart()
    await settled(path)
    expect(await driftBetween(old, fresh)).toEqual([])
  })

  function copyOf(stateDir: string): string {
    const copy = mkdtempSync(join(dir, 'copy-'))
    cpSync(stateDir, copy, { recursive: true })
    return copy
  }

  test('a log whose last block is torn is read up to there; one that is damaged elsewhere asks for a verify, too', async () => {
    const { old, fresh, copy } = await crashed()
    const torn = copyOf(copy)
    const [segment] = segmentsOf(copy) as [string]
    const bytes = readFileSync(join(copy, 'intent', segment))
    writeFileSync(join(torn, 'intent', segment), bytes.subarray(0, bytes.length - 3))
    await fresh.kill9()
    let path = await start({ old, new: fresh }, torn)
    expect(stateOf(path)).toMatchObject({ dirtyKeys: 19, needsVerify: false })
    await path.stop()
    const changed = copyOf(copy)
    bytes[20]! ^= 1
    writeFileSync(join(changed, 'intent', segment), bytes)
    path = await start({ old, new: fresh }, changed)
    expect(stateOf(path).needsVerify).toBe(true)
    expect(stateOf(path).dirtyKeys).toBeGreaterThan(10)
    expect(logged(path).join()).toContain('the intent log is damaged')
    await path.stop()
    // Said once is known for good.
    path = await start({ old, new: fresh }, changed)
    expect(stateOf(path).needsVerify).toBe(true)
    expect(logged(path).join()).not.toContain('damaged')
  })

  test('with another primary than before nothing is copied: which side is right is not known', async () => {
    const { old, fresh, copy } = await crashed()
    await fresh.client().set('key:1', 'older')
    const routes = [{ ...ROUTE, phase: 'switched' as const }]
    const path = await startDataPath({ stores: { old, new: fresh }, routes, stateDir: copy })
    running.push(path)
    expect(stateOf(path)).toEqual({ dirtyKeys: 0, dirtyReasons: {}, needsVerify: true })
    expect(logged(path).join()).toContain('it is not known which side is right')
    await path.client().set('other', 1)
    await settled(path)
    expect(await old.client().get('key:1')).toBe('1')
    // When nothing was in doubt a stop, an edit and a start are as good as a switch.
    await path.runtime.stop(1_000)
    const back = await start({ old, new: fresh }, copy)
    expect(logged(back).join()).not.toContain('it is not known')
  })

  test('of which nothing was noted, or of the whole machine, every mirrored route needs a verify', async () => {
    const { old, fresh, copy } = await crashed()
    const unnoted = copyOf(copy)
    rmSync(join(unnoted, 'intent', 'intact'))
    expect(stateOf(await start({ old, new: fresh }, unnoted)).needsVerify).toBe(true)
    const rebooted = copyOf(copy)
    writeFileSync(join(rebooted, 'intent', 'intact'), 'running logged another-boot\n')
    expect(stateOf(await start({ old, new: fresh }, rebooted)).needsVerify).toBe(true)
  })
})

describe('dirty keys', () => {
  /** No room for a backlog: every write makes its key dirty. */
  async function startFull(stores: Parameters<typeof startDataPath>[0]['stores']) {
    const routes = [{ ...ROUTE, mirror: { backlogBytes: 1 } }]
    const path = await startDataPath({ stores, routes, stateDir: join(dir, 'state') })
    running.push(path)
    return path
  }

  test('are known after a stop: reason, age, order, and what needs a verify', async () => {
    const { old, fresh } = await redises()
    await fresh.kill9()
    const path = await startFull({ old, new: fresh })
    const app = path.client()
    for (let i = 0; i < 300; i++) await app.set(`key:${i}`, i)
    await eventually(() => expect(stateOf(path).dirtyKeys).toBe(300))
    await path.stop()
    const again = await start({ old, new: fresh })
    expect(stateOf(again)).toMatchObject({ dirtyKeys: 300, needsVerify: false })
    expect(again.runtime.stats().routes['all']!.oldestDirtyMs).toBeGreaterThan(0)
    await fresh.restart()
    await settled(again)
    expect(await driftBetween(old, fresh)).toEqual([])
    await eventually(() => expect(dirtyOf(crashCopy()).size).toBe(0))
  })

  test.each([
    ['is no database', () => Buffer.alloc(20_000, 'x')],
    [
      'has a hole in the middle',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 8_192), Buffer.alloc(bytes.length - 8_192)]),
    ],
  ])('whose file %s: it is set aside, and every mirrored route needs a verify', async (_, damage) => {
    const { old, fresh } = await redises()
    await fresh.kill9()
    const path = await startFull({ old, new: fresh })
    const app = path.client()
    await Promise.all(Array.from({ length: 2_000 }, (_, i) => app.set(`${'k'.repeat(60)}${i}`, 1)))
    await path.stop()
    const file = join(dir, 'state', 'dirty.db')
    writeFileSync(file, damage(readFileSync(file)))
    const again = await start({ old, new: fresh })
    expect(stateOf(again).needsVerify).toBe(true)
    expect(logged(again).join()).toContain('the file of dirty keys is damaged')
    expect(readdirSync(join(dir, 'state')).filter((name) => name.includes('damaged')).length).toBeGreaterThan(0)
    await again.client().set('works', 1)
    await again.stop()
    const third = await start({ old, new: fresh })
    expect(stateOf(third).needsVerify).toBe(true)
    expect(stateOf(third).dirtyKeys).toBeGreaterThan(0)
  })

  test('whose file is empty, as it is left where a damaged one was set aside and the disk was full: every mirrored route needs a verify', async () => {
    const { old, fresh } = await redises()
    await fresh.kill9()
    const path = await start({ old, new: fresh })
    await path.client().set('a', 1)
    await path.stop()
    for (const name of readdirSync(join(dir, 'state')).filter((file) => file.startsWith('dirty.db')))
      rmSync(join(dir, 'state', name))
    writeFileSync(join(dir, 'state', 'dirty.db'), '')
    expect(lastRunIn(join(dir, 'state'))).toBeNull()
    const again = await start({ old, new: fresh })
    expect(stateOf(again).needsVerify).toBe(true)
    expect(logged(again).join()).toContain('a part of the state directory is missing')
  })
})

describe('a log that nothing passes out of', () => {
  /** A data path of which only the queues are there, and those stand still. */
  function stuck(where: 'primary' | 'shadow', limits: { convertBytes: number; maxBytes: number }) {
    const config = configOf({ stores: { old: { port: 1 }, new: { port: 2 } }, routes: [ROUTE] })
    const routes = new RouteTable(config, 1, ['old', 'new'], new Map())
    const dirty = new DirtySet(1_000_000)
    const lines: string[] = []
    const pipeline = { quiet: false, blocks: false, state: 'down', totalBytes: 10, settledBytes: 0 }
    const store = {
      clientPipelines: () => (where === 'primary' ? [pipeline] : []),
      shadows: { open: () => (where === 'shadow' ? [pipeline] : []) },
    }
    const context = { routes, log: ({ msg }: { msg: string }) => lines.push(msg) }
    const durability = new Durability({
      stateDir: join(dir, 'state'),
      context: context as unknown as DataPathContext,
      dirty,
      stores: () => [store] as unknown as Iterable<Store>,
      sweeping: () => false,
      noteBlocked: () => {},
      logged: true,
      limits,
    })
    running.push({ stop: async () => durability.stop() })
    let now = performance.now()
    const tick = (): void => durability.tick((now += 20))
    const note = (from: number, to: number): void => {
      for (let i = from; i < to; i++) {
        const key = Buffer.from(`${'k'.repeat(90)}${i}`)
        durability.log!.noteKey(0, key, 0, key.length)
      }
      durability.log!.flush()
    }
    return { durability, context, dirty, config, lines, tick, note, pipeline }
  }

  test('because the shadow is away: its keys become dirty instead, and it does not grow', () => {
    const { durability, dirty, tick, note, lines } = stuck('shadow', { convertBytes: 6_000_000, maxBytes: 1e9 })
    note(0, 50_000)
    for (let i = 0; i < 50; i++) tick()
    expect(dirty.size).toBe(0)
    for (let part = 1; part < 5; part++) {
      note(part * 50_000, (part + 1) * 50_000)
      for (let i = 0; i < 60; i++) tick()
    }
    expect(durability.log!.closedBytes).toBeLessThan(12_000_000)
    // What is not in the log any more is in the file.
    const copy = crashCopy()
    const known = new Set([...intentsOf(copy), ...dirtyOf(copy)])
    const unknown = Array.from({ length: 250_000 }, (_, i) => `${'k'.repeat(90)}${i}`).filter((key) => !known.has(key))
    expect(unknown).toEqual([])
    expect(dirty.needsVerify('all')).toBe(false)
    expect(lines).toEqual([])
  })

  test.each(['all', 'other'])(
    'because the shadow is away: what it says of before a forced switch is not copied the other way round (the route is called %s by then)',
    (name) => {
      const { durability, context, dirty, config, tick, note } = stuck('shadow', { convertBytes: 1, maxBytes: 1e9 })
      note(0, 10)
      expect(durability.entering(config, ['all'])).toBeNull()
      durability.entered()
      const renamed = { ...config, routes: config.routes.map((route) => ({ ...route, name })) }
      expect(durability.entering(renamed, [], name === 'all' ? [] : [['all', name]])).toBeNull()
      context.routes = new RouteTable(renamed, 2, ['old', 'new'], new Map())
      durability.entered()
      for (let i = 0; i < 60; i++) tick()
      note(10, 20)
      for (let i = 0; i < 60; i++) tick()
      expect(durability.log!.closedBytes).toBe(0)
      expect([...dirty.keys(name)].map(({ key }) => Number(key.toString().slice(90)))).toEqual([
        10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
      ])
    },
  )

  test('because the shadow is away: what it says is to be deleted of functions is so on the shadow of then', () => {
    const { durability, dirty, config, tick } = stuck('shadow', { convertBytes: 1, maxBytes: 1e9 })
    const removals = (): unknown => [
      ...dirty.toVerify.causes('all').filter((cause) => cause === 'functions-removed'),
      ...dirty.toVerify.removedLibraries('all'),
    ]
    const flush = (): void => {
      durability.log!.noteFunctions('all')
      durability.log!.noteFunctions({ library: 'mine' })
      durability.log!.flush()
    }
    flush()
    const routes = config.routes.map((route) => ({ ...route, phase: 'switched' as const }))
    expect(durability.entering({ ...config, routes })).toBeNull()
    durability.entered()
    for (let i = 0; i < 60; i++) tick()
    expect(durability.log!.closedBytes).toBe(0)
    expect(dirty.toVerify.causes('all')).toContain('functions')
    expect(removals()).toEqual([])
    flush()
    for (let i = 0; i < 60; i++) tick()
    expect(removals()).toEqual(['functions-removed', 'mine'])
  })

  test('for whatever reason: it is given up when it is too large, loudly, and begins anew when things move again', () => {
    const { durability, dirty, tick, note, lines, pipeline } = stuck('primary', { convertBytes: 6e6, maxBytes: 8e6 })
    note(0, 200_000)
    for (let i = 0; i < 5; i++) tick()
    expect(durability.log!.closedBytes).toBe(0)
    expect([dirty.size, dirty.needsVerify('all'), durability.intact]).toEqual([0, true, false])
    expect(lines.join()).toContain('the intent log has become too large')
    pipeline.settledBytes = 10
    for (let i = 0; i < 5; i++) tick()
    expect(durability.intact).toBe(true)
  })
})
