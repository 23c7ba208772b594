import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
let dir = ''
let old: RedisServer
let fresh: RedisServer
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'functions-'))
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
})
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
  rmSync(dir, { recursive: true })
})

async function start(stateDir = join(dir, 'state')): Promise<DataPathUnderTest> {
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    stateDir,
  })
  running.push(path)
  return path
}

const library = (name: string, answer = 1): string =>
  `#!lua name=${name}\nredis.register_function('of_${name}', function() return ${answer} end)`

async function functionsOf(server: RedisServer): Promise<string[]> {
  const list = (await server.client().call('FUNCTION', 'LIST', 'WITHCODE')) as unknown[][]
  return list.map((library) => String(library.at(-1))).sort()
}

const causesOf = (path: DataPathUnderTest) => path.runtime.stats().routes['all']!.verifyCauses

async function equal(path: DataPathUnderTest, expected: readonly string[]): Promise<void> {
  await settled(path)
  await eventually(() => expect(causesOf(path).filter((cause) => cause.startsWith('functions'))).toEqual([]))
  expect(await functionsOf(fresh)).toEqual([...expected].sort())
  expect(await functionsOf(old)).toEqual([...expected].sort())
}

/** The directory as a crash in this very moment would leave it. */
function crashCopy(): string {
  const copy = mkdtempSync(join(dir, 'crash-'))
  cpSync(join(dir, 'state'), copy, { recursive: true })
  return copy
}

describe('functions become equal again', () => {
  test.each<[string, (app: ReturnType<DataPathUnderTest['client']>) => Promise<unknown>, string[]]>([
    ['LOAD', (app) => app.call('FUNCTION', 'LOAD', library('late')), [library('kept'), library('late')]],
    ['LOAD REPLACE', (app) => app.call('FUNCTION', 'LOAD', 'REPLACE', library('kept', 2)), [library('kept', 2)]],
    ['DELETE', (app) => app.call('FUNCTION', 'DELETE', 'kept'), []],
    ['FLUSH', (app) => app.call('FUNCTION', 'FLUSH'), []],
    [
      'LOAD in a transaction',
      (app) => app.multi().call('FUNCTION', 'LOAD', library('late')).set('k', 1).exec(),
      [library('kept'), library('late')],
    ],
  ])('after a crash with a %s on its way', async (_name, change, expected) => {
    const path = await start()
    // A crash in the first moments leaves more in doubt.
    await eventually(() => expect(causesOf(path)).toEqual([]))
    const app = path.client()
    await app.call('FUNCTION', 'LOAD', library('kept'))
    await settled(path)
    fresh.pause()
    await change(app)
    const crashed = crashCopy()
    // What had been sent to the shadow ends with the process; it was not there yet.
    await path.stop()
    await fresh.kill9()
    await fresh.restart()
    await fresh.client().call('FUNCTION', 'LOAD', library('kept'))
    await equal(await start(crashed), expected)
  })

  test('after a shadow that was lost with a change on its way, and had lost all the others', async () => {
    const path = await start()
    const app = path.client()
    await app.call('FUNCTION', 'LOAD', library('one'))
    await settled(path)
    fresh.pause()
    await app.call('FUNCTION', 'LOAD', library('two'))
    await fresh.kill9()
    await fresh.restart()
    await equal(path, [library('one'), library('two')])
  })

  test('after an effect that the shadow refused, for it had another library of that name', async () => {
    const path = await start()
    await fresh.client().call('FUNCTION', 'LOAD', library('one', 7))
    await path.client().call('FUNCTION', 'LOAD', library('one'))
    await equal(path, [library('one')])
  })

  test.each([
    ['LOAD', library('another'), []],
    ['DELETE', 'one', ['another']],
    ['FLUSH', 'SYNC', []],
  ])('after a %s whose outcome on the primary is not known', async (name, word, left) => {
    const path = await start()
    const app = path.client()
    await app.set('k', 1)
    // Nobody has flushed it away here, so it stays, unless everything is to be.
    const stays = name === 'LOAD' ? ['one', 'two'] : left
    for (const one of ['one', ...stays]) {
      await fresh.client().call('FUNCTION', 'LOAD', 'REPLACE', library(one))
    }
    old.pause()
    const changed = app.call('FUNCTION', name, word).catch((error: Error) => error.message)
    await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(1))
    await old.kill9()
    expect(await changed).toContain('may have been executed')
    await old.restart()
    await settled(path)
    await eventually(() => expect(causesOf(path).filter((cause) => cause.startsWith('functions'))).toEqual([]))
    expect(await functionsOf(fresh)).toEqual(stays.map((one) => library(one)).sort())
  })
})

test.each<[string, (app: ReturnType<DataPathUnderTest['client']>) => Promise<unknown>, string[]]>([
  ['LOAD', (app) => app.call('FUNCTION', 'LOAD', library('late')), ['kept', 'late', 'theirs']],
  ['DELETE', (app) => app.call('FUNCTION', 'DELETE', 'kept'), ['theirs']],
])('a crash with a %s on its way deletes nothing that the target has for others', async (_name, change, expected) => {
  const path = await start()
  // A crash in the first moments leaves more in doubt.
  await eventually(() => expect(causesOf(path)).toEqual([]))
  const app = path.client()
  await app.call('FUNCTION', 'LOAD', library('kept'))
  await settled(path)
  await fresh.client().call('FUNCTION', 'LOAD', library('theirs'))
  fresh.pause()
  await change(app)
  const crashed = crashCopy()
  await path.stop()
  await fresh.kill9()
  await fresh.restart()
  for (const name of ['kept', 'theirs']) await fresh.client().call('FUNCTION', 'LOAD', library(name))
  const again = await start(crashed)
  await settled(again)
  await eventually(() => expect(causesOf(again).filter((cause) => cause.startsWith('functions'))).toEqual([]))
  expect(await functionsOf(fresh)).toEqual(expected.map((one) => library(one)).sort())
})

test('what was deleted while the shadow was away is deleted there after a stop, and nothing else', async () => {
  const path = await start()
  await path.client().call('FUNCTION', 'LOAD', library('mine'))
  await settled(path)
  await fresh.client().call('FUNCTION', 'LOAD', library('theirs'))
  await fresh.client().call('ACL', 'SETUSER', 'default', '-function|delete')
  await path.client().call('FUNCTION', 'DELETE', 'mine')
  await eventually(() => expect(causesOf(path)).toContain('functions'))
  await path.stop()
  await fresh.client().call('ACL', 'SETUSER', 'default', '+function|delete')
  const again = await start()
  await eventually(() => expect(causesOf(again)).toEqual([]))
  expect(await functionsOf(fresh)).toEqual([library('theirs')])
})

test('a target that has functions of its own keeps them when it is restarted', async () => {
  const path = await start()
  await path.client().call('FUNCTION', 'LOAD', library('mirrored'))
  await settled(path)
  await fresh.restart()
  await fresh.client().call('FUNCTION', 'LOAD', library('own'))
  await eventually(async () => expect(await functionsOf(fresh)).toEqual([library('mirrored'), library('own')].sort()))
  await eventually(() => expect(causesOf(path)).toEqual([]))
  expect(await functionsOf(fresh)).toHaveLength(2)
})

test('a primary that was started again without the last change of a library is followed', async () => {
  const path = await start()
  const app = path.client()
  await app.call('FUNCTION', 'LOAD', library('one'))
  await app.set('k', 1)
  await settled(path)
  await old.client().save()
  await app.call('FUNCTION', 'LOAD', 'REPLACE', library('one', 2))
  await settled(path)
  await old.restart()
  await eventually(() => expect(causesOf(path)).toContain('primary-restarted'))
  await equal(path, [library('one')])
})

test('what cannot be brought over is said, and keeps the gate of a switch closed, also after a verify', async () => {
  const path = await start()
  await path.client().set('k', 1)
  await settled(path)
  await fresh.client().call('ACL', 'SETUSER', 'default', '-function')
  await path.client().call('FUNCTION', 'LOAD', library('one'))
  await eventually(() => expect(JSON.stringify(path.notices)).toContain('functions cannot be brought to the shadow'))
  await path.runtime.jobs.verified('all', await path.runtime.jobs.verifyTicket('all'))
  expect(path.runtime.stats().routes['all']!.needsVerify).toBe(true)
  await fresh.client().call('ACL', 'SETUSER', 'default', '+function')
  await equal(path, [library('one')])
})

describe('a library that the shadow refuses', () => {
  const refused = (path: DataPathUnderTest) => path.runtime.stats().routes['all']!.refusedLibraries
  /** By a user who may. */
  async function loadedByHand(code: string): Promise<void> {
    const hand = fresh.client({ username: 'op', password: 'pw' })
    await hand.call('FUNCTION', 'LOAD', 'REPLACE', code)
    hand.disconnect()
  }
  async function refuseLoads(): Promise<void> {
    await fresh.client().acl('SETUSER', 'op', 'on', '>pw', '~*', '&*', '+@all')
    await fresh.client().acl('SETUSER', 'default', '-function|load')
  }
  const writing = (value: string) =>
    `#!lua name=one\nredis.register_function('of_one', function(keys) return redis.call('SET', keys[1], '${value}') end)`
  async function timesRefused(): Promise<number> {
    const info = await fresh.client().info('commandstats')
    return Number(/cmdstat_function\|load:.*rejected_calls=(\d+)/.exec(info)?.[1] ?? 0)
  }

  test('is named, and counts as there when somebody has loaded one of the same name and functions', async () => {
    const path = await start()
    await refuseLoads()
    await path.client().call('FUNCTION', 'LOAD', writing('mine'))
    await eventually(() => expect(refused(path)).toEqual(['one']))
    expect(path.runtime.stats().routes['all']!.refusedBecause).toBe('NOPERM')
    expect(JSON.stringify(path.notices)).toContain('"library":"one","store":"new","reason":"NOPERM"')
    // Of another function: it does not do the same.
    await loadedByHand(writing('mine').replace('of_one', 'other'))
    const before = await timesRefused()
    await eventually(async () => expect(await timesRefused()).toBeGreaterThan(before))
    expect(causesOf(path)).toContain('functions')
    const own = writing('by hand')
    await loadedByHand(own)
    await eventually(() => expect(causesOf(path)).toEqual([]), { timeoutMs: 30_000 })
    expect(refused(path)).toEqual([])
    expect(path.runtime.stats().routes['all']!.refusedBecause).toBeNull()
    expect(await functionsOf(fresh)).toEqual([own])
    // It is taken to do the same, and not run for the primary's.
    await path.client().call('FCALL', 'of_one', 1, 'k')
    await settled(path)
    expect(await fresh.client().get('k')).toBe('mine')
  }, 60_000)

  test('stays on the former primary when that is changed by force, until a verify has said who is right', async () => {
    const path = await start()
    const app = path.client()
    await app.call('FUNCTION', 'LOAD', library('both'))
    await settled(path)
    await refuseLoads()
    await app.call('FUNCTION', 'LOAD', library('one'))
    await app.call('FUNCTION', 'LOAD', 'REPLACE', library('both', 2))
    await app.call('FUNCTION', 'FLUSH')
    await app.call('FUNCTION', 'LOAD', library('one'))
    await eventually(() => expect(refused(path)).toEqual(['one']))
    await loadedByHand(library('one', 7))
    const turn = async (phase: 'switched' | 'mirror'): Promise<void> => {
      const change = path.change({
        stores: { old, new: fresh },
        stateDir: join(dir, 'state'),
        routes: [{ source: 'old', target: 'new', phase }],
      })
      expect(await path.runtime.apply({ ...change, force: true })).toMatchObject({ ok: true })
    }
    await turn('switched')
    expect(refused(path)).toEqual([])
    await app.set('k', 1)
    await settled(path)
    expect(causesOf(path)).toEqual(expect.arrayContaining(['functions', 'turned']))
    expect(causesOf(path)).not.toContain('functions-removed')
    expect(await functionsOf(old)).toEqual([library('one')])
    await path.runtime.jobs.verified('all', await path.runtime.jobs.verifyTicket('all'))
    await eventually(() => expect(causesOf(path)).toEqual([]))
    expect(await functionsOf(old)).toEqual([library('one', 7)])
  }, 30_000)

  test('does not count as there by what was there before: it may be an older one', async () => {
    const path = await start()
    await refuseLoads()
    await loadedByHand(library('one', 7))
    await path.client().call('FUNCTION', 'LOAD', library('one'))
    await eventually(async () => expect(await timesRefused()).toBeGreaterThan(2), { timeoutMs: 30_000 })
    expect(refused(path)).toEqual(['one'])
    expect(causesOf(path)).toContain('functions')
  }, 60_000)
})

describe('a shadow whose user may not use FUNCTION', () => {
  const forbidden = (path: DataPathUnderTest) => {
    const { verifyCauses, refusedLibraries, refusedBecause } = path.runtime.stats().routes['all']!
    return { inDoubt: verifyCauses.includes('functions'), refusedLibraries, refusedBecause }
  }

  test.each<[string, ...string[]]>([['FLUSH'], ['DELETE', 'one']])(
    'is not taken for one without functions when the last is deleted by a %s',
    async (...change) => {
      const path = await start()
      await path.client().call('FUNCTION', 'LOAD', library('one'))
      await settled(path)
      await fresh.client().call('ACL', 'SETUSER', 'default', '-function')
      await path.client().call('FUNCTION', ...change)
      await eventually(() =>
        expect(forbidden(path)).toEqual({ inDoubt: true, refusedLibraries: [], refusedBecause: 'NOPERM' }),
      )
      await fresh.client().call('ACL', 'SETUSER', 'default', '+function')
      await equal(path, [])
      expect(forbidden(path).refusedBecause).toBeNull()
    },
  )

  test('nor one that has no right to delete', async () => {
    const path = await start()
    await path.client().call('FUNCTION', 'LOAD', library('one'))
    await settled(path)
    await fresh.client().call('ACL', 'SETUSER', 'default', '-function|delete')
    await path.client().call('FUNCTION', 'DELETE', 'one')
    await eventually(() =>
      expect(forbidden(path)).toEqual({ inDoubt: true, refusedLibraries: [], refusedBecause: 'NOPERM' }),
    )
    await fresh.client().call('ACL', 'SETUSER', 'default', '+function|delete')
    await equal(path, [])
  })

  test('is in nobody’s way where the application has no functions', async () => {
    const path = await start()
    await path.client().set('k', 1)
    await settled(path)
    await fresh.restart()
    await fresh.client().call('ACL', 'SETUSER', 'default', '-function')
    await path.client().set('k', 2)
    await eventually(() => expect(causesOf(path)).toEqual(['shadow-restarted']))
  })
})

test('a verify is not worth less for what is in doubt about functions meanwhile', async () => {
  const path = await start()
  await path.client().set('k', 1)
  await settled(path)
  await fresh.restart()
  await eventually(() => expect(causesOf(path)).toContain('shadow-restarted'))
  const { jobs } = path.runtime
  const ticket = await jobs.verifyTicket('all')
  await fresh.client().call('ACL', 'SETUSER', 'default', '-function')
  await path.client().call('FUNCTION', 'LOAD', library('late'))
  await eventually(() => expect(causesOf(path)).toContain('functions'))
  await jobs.verified('all', ticket)
  expect(causesOf(path)).toEqual(['functions'])
})

test('a doubt about functions is that of the route `*`, whatever that is called after a start', async () => {
  const path = await start()
  await path.client().set('k', 1)
  await settled(path)
  await fresh.client().call('ACL', 'SETUSER', 'default', '-function')
  await path.client().call('FUNCTION', 'LOAD', library('one'))
  await eventually(() => expect(causesOf(path)).toContain('functions'))
  await path.stop()
  const again = await startDataPath({
    stores: { old, new: fresh },
    routes: [{ name: 'everything', source: 'old', target: 'new', phase: 'mirror' }],
    stateDir: join(dir, 'state'),
  })
  running.push(again)
  const causes = () => again.runtime.stats().routes['everything']!.verifyCauses
  expect(causes()).toEqual(['functions'])
  await fresh.client().call('ACL', 'SETUSER', 'default', '+function')
  await eventually(() => expect(causes()).toEqual([]), { timeoutMs: 20_000 })
  expect(await functionsOf(fresh)).toEqual([library('one')])
}, 30_000)

test.each(['FLUSHALL', 'FLUSHDB'])(
  'what is done to functions in a transaction beside %s is done to the shadow',
  async (flush) => {
    const path = await start()
    const app = path.client()
    for (const name of ['kept', 'gone']) await app.call('FUNCTION', 'LOAD', library(name))
    await app.call('FCALL', 'of_kept', 1, 'k')
    await settled(path)
    await app
      .multi()
      .call('FUNCTION', 'LOAD', 'REPLACE', library('kept', 2))
      .call(flush)
      .call('FUNCTION', 'DELETE', 'gone')
      .call('FUNCTION', 'LOAD', library('late'))
      .set('k', 1)
      .exec()
    await equal(path, [library('kept', 2), library('late')])
    expect(await fresh.client().get('k')).toBe('1')
  },
)

test('what somebody else changes beside changes that pass by comes to the shadow as well', async () => {
  const path = await start()
  const app = path.client()
  await app.call('FUNCTION', 'LOAD', library('x'))
  await app.call('FCALL', 'of_x', 1, 'k')
  await old.client().call('FUNCTION', 'LOAD', 'REPLACE', library('x', 2))
  await app.call('FUNCTION', 'LOAD', library('y'))
  await eventually(async () => expect(await functionsOf(fresh)).toEqual([library('x', 2), library('y')].sort()))
  await old.client().call('FUNCTION', 'LOAD', 'REPLACE', library('x', 3))
  // As an application does at each start: the library is there.
  await expect(app.call('FUNCTION', 'LOAD', library('x', 3))).rejects.toThrow('already exists')
  await eventually(async () => expect(await functionsOf(fresh)).toEqual([library('x', 3), library('y')].sort()))
})

describe('changes of functions and calls in several databases, where one of the mirror’s connections is slow', () => {
  const library = (value: string) =>
    `#!lua name=l\nredis.register_function('f', function(keys) return redis.call('SET', keys[1], '${value}') end)`
  let network: HoldingNetwork
  let path: DataPathUnderTest
  let app: ReturnType<DataPathUnderTest['client']>
  let other: ReturnType<DataPathUnderTest['client']>
  beforeEach(async () => {
    network = await new HoldingNetwork(fresh).start()
    path = await startDataPath({
      stores: { old, new: { port: network.port } },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
    })
    running.push({ stop: () => network.stop() }, path)
    ;[app, other] = [path.client(), path.client({ db: 1 })]
    await app.call('FUNCTION', 'LOAD', library('one'))
    await app.set('IN0', 1)
    await other.set('IN1', 1)
    await settled(path)
    await other.call('FCALL', 'f', 1, 'k')
    await settled(path)
  })
  const valueAt = (server: RedisServer) => server.client({ db: 1 }).get('k')

  test('a call that would overtake its library is not run again: its key is copied', async () => {
    network.hold('IN0')
    await app.call('FUNCTION', 'LOAD', 'REPLACE', library('two'))
    await other.call('FCALL', 'f', 1, 'k')
    await eventually(() => expect(network.holds('REPLACE')).toBe(true))
    await eventually(() => expect(path.runtime.stats().routes['all']!.dirtyKeys).toBe(0))
    expect(await valueAt(fresh)).toBe('two')
    network.pass()
    await settled(path)
    expect([await valueAt(old), await valueAt(fresh)]).toEqual(['two', 'two'])
  })

  test('the key of a call that is overtaken by another library is copied', async () => {
    network.hold('IN1')
    await other.call('FCALL', 'f', 1, 'k')
    await eventually(() => expect(network.holds('FCALL')).toBe(true))
    await app.call('FUNCTION', 'LOAD', 'REPLACE', library('two'))
    await eventually(async () => expect(await functionsOf(fresh)).toEqual([library('two')]))
    network.pass()
    await settled(path)
    expect([await valueAt(old), await valueAt(fresh)]).toEqual(['one', 'one'])
  })

  test('changes by clients of several databases keep their order', async () => {
    network.hold('IN0')
    await app.call('FUNCTION', 'LOAD', 'REPLACE', library('two'))
    await other.call('FUNCTION', 'FLUSH')
    // Behind it, where it goes down its client's own.
    await other.set('mark', 1)
    await eventually(async () => expect(await fresh.client({ db: 1 }).get('mark')).toBe('1'))
    network.pass()
    await equal(path, [])
  })
})

describe('calls that are run again where both names of a key are at one store', () => {
  const library = (value: string) =>
    `#!lua name=l\nredis.register_function('f', function(keys) return redis.call('SET', keys[1], '${value}') end)`
  const startAtOne = async (store: RedisServer | { port: number }) => {
    const path = await startDataPath({
      stores: { store },
      routes: [
        {
          source: { store: 'store', keys: { '*': 'o:*' } },
          target: { store: 'store', keys: { '*': 'n:*' } },
          phase: 'mirror',
        },
      ],
    })
    running.push(path)
    return path
  }

  test('are so for clients of every database, also behind a change of the library', async () => {
    const path = await startAtOne(old)
    for (const db of [0, 1]) {
      const app = path.client({ db })
      await app.call('FUNCTION', 'LOAD', 'REPLACE', library(`v${db}`))
      for (let i = 0; i < 5; i++) await app.call('FCALL', 'f', 1, `k${i}`)
      await settled(path)
      expect(await old.client({ db }).mget('o:k4', 'n:k4')).toEqual([`v${db}`, `v${db}`])
    }
    // One that leaves while the library is still being read is copied.
    expect(path.runtime.stats().routes['all']!.counters.applied).toBeGreaterThanOrEqual(8)
  })

  test('are copied where a change may have come in between', async () => {
    const network = await new HoldingNetwork(old).start()
    running.push({ stop: () => network.stop() })
    const path = await startAtOne({ port: network.port })
    const app = path.client()
    await app.call('FUNCTION', 'LOAD', library('one'))
    await app.set('IN0', 1)
    await app.call('FCALL', 'f', 1, 'k')
    await settled(path)
    for (const change of [
      () => app.call('FUNCTION', 'LOAD', 'REPLACE', library('two')),
      () => app.multi().call('FUNCTION', 'LOAD', 'REPLACE', library('three')).exec(),
    ]) {
      network.hold('N:IN0')
      await app.call('FCALL', 'f', 1, 'k')
      await eventually(() => expect(network.holds('n:k')).toBe(true))
      await change()
      network.pass()
      await settled(path)
      const [here, there] = await old.client().mget('o:k', 'n:k')
      expect(there).toBe(here)
      await app.call('FCALL', 'f', 1, 'other')
      await settled(path)
    }
  })
})

test('functions that are called for keys of a route with a target of its own, and are not there, are told until somebody has loaded them', async () => {
  await old.client().call('FUNCTION', 'LOAD', library('one'))
  await old.client().call('FUNCTION', 'LOAD', library('another'))
  const path = await startDataPath({
    stores: { old, new: fresh },
    routes: [
      { name: 'some', keys: ['some:*'], source: 'old', target: 'new', phase: 'mirror' },
      { name: 'rest', source: 'old' },
    ],
  })
  running.push(path)
  const missing = () => path.runtime.stats().routes['some']!.missingFunctions
  const app = path.client()
  expect(await app.call('FCALL', 'of_another', 1, 'k')).toBe(1)
  await expect(app.call('FCALL', 'nobodys', 1, 'some:k')).rejects.toThrow(/not found/)
  expect(await app.call('FCALL', 'of_one', 1, 'some:k')).toBe(1)
  await eventually(() => expect(missing()).toEqual(['of_one']))
  await fresh.client().call('FUNCTION', 'LOAD', library('one'))
  await eventually(() => expect(missing()).toEqual([]))
})
