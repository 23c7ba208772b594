import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Config, Phase } from '../../../src/config/config.ts'
import { functionPlacesOf } from '../../../src/mirror/functions/function-places.ts'
import { changeBetween } from '../../support/change.ts'
import { configOf, type DataPathOptions, type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'

const running: { stop(): Promise<unknown> }[] = []
let dir = ''
let old: RedisServer
let fresh: RedisServer
let third: RedisServer
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'function-places-'))
  ;[old, fresh, third] = await Promise.all([startRedis(), startRedis(), startRedis()])
  running.push(old, fresh, third)
})
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
  rmSync(dir, { recursive: true })
})

interface Where {
  readonly name?: string
  readonly target?: string
  readonly phase?: Phase
  /** The server that is called so. */
  readonly at?: RedisServer
  readonly stateDir?: string
}

const options = ({ name = 'all', target = 'new', phase = 'mirror', at, stateDir }: Where): DataPathOptions => ({
  stores: { old, new: at ?? fresh, third },
  routes: [{ name, source: 'old', target, phase }],
  stateDir: stateDir ?? join(dir, 'state'),
})

async function start(where: Where = {}): Promise<DataPathUnderTest> {
  const path = await startDataPath(options(where))
  running.push(path)
  return path
}

const library = (name: string, answer = 1): string =>
  `#!lua name=${name}\nredis.register_function('of_${name}', function() return ${answer} end)`

async function functionsOf(server: RedisServer): Promise<string[]> {
  const list = (await server.client().call('FUNCTION', 'LIST', 'WITHCODE')) as unknown[][]
  return list.map((one) => String(one.at(-1))).sort()
}

const causesOf = (path: DataPathUnderTest, name = 'all') => path.runtime.stats().routes[name]!.verifyCauses

/** Somebody else's library on the third server; and one of the application's on the first two, which it deletes while the shadow is away. */
async function deletedWhileAway(how: readonly string[]): Promise<DataPathUnderTest> {
  await third.client().call('FUNCTION', 'LOAD', library('kept', 7))
  const path = await start()
  // A crash in the first moments leaves more in doubt.
  await eventually(() => expect(causesOf(path)).toEqual([]))
  await path.client().call('FUNCTION', 'LOAD', library('kept'))
  await settled(path)
  fresh.pause()
  await path.client().call('FUNCTION', ...how)
  return path
}

const inDoubt = (path: DataPathUnderTest) => eventually(() => expect(causesOf(path)).toContain('functions'))

async function staysThere(path: DataPathUnderTest, name = 'all'): Promise<void> {
  await eventually(() => expect(path.runtime.stats().routes[name]!.dirtyKeys).toBe(0))
  await eventually(() => expect(causesOf(path, name)).not.toContain('functions'))
  expect(await functionsOf(third)).toEqual([library('kept', 7)])
}

describe.each<string[]>([['FLUSH'], ['DELETE', 'kept']])(
  'what a FUNCTION %s has not deleted on one target is not deleted on another',
  (...how) => {
    test.each(['all', 'whole'])('that the route, now called %s, gets while it runs', async (name) => {
      const path = await deletedWhileAway(how)
      await fresh.kill9()
      await inDoubt(path)
      await path.apply(options({ name, target: 'third' }))
      await staysThere(path, name)
    })

    test('that it gets while the command is still on its way', async () => {
      const path = await deletedWhileAway(how)
      await path.apply(options({ target: 'third' }))
      await fresh.kill9()
      await path.client().set('k', 1)
      await eventually(async () => expect(await third.client().get('k')).toBe('1'))
      await staysThere(path)
    })

    test.each<[string, () => Where]>([
      ['another one', () => ({ target: 'third' })],
      ['another one, of a route with another name', () => ({ name: 'whole', target: 'third' })],
      ['the same one with another address', () => ({ at: third })],
    ])('that it has at the next start: %s', async (_name, where) => {
      const path = await deletedWhileAway(how)
      await fresh.kill9()
      await inDoubt(path)
      await path.stop()
      await staysThere(await start(where()), where().name)
    })

    test('that it has after a crash', async () => {
      const path = await deletedWhileAway(how)
      const stateDir = mkdtempSync(join(dir, 'crash-'))
      cpSync(join(dir, 'state'), stateDir, { recursive: true })
      await path.stop()
      await staysThere(await start({ target: 'third', stateDir }))
    })

    test('that it had got shortly before a crash', async () => {
      const path = await deletedWhileAway(how)
      await path.apply(options({ target: 'third' }))
      const stateDir = mkdtempSync(join(dir, 'crash-'))
      cpSync(join(dir, 'state'), stateDir, { recursive: true })
      await path.stop()
      const again = await start({ target: 'third', stateDir })
      // Whether the primary was changed, too, nobody knows by then.
      await again.runtime.jobs.verified('all', await again.runtime.jobs.verifyTicket('all'))
      await staysThere(again)
    })

    test('it is deleted there by a route with another name', async () => {
      const path = await deletedWhileAway(how)
      await path.stop()
      await fresh.kill9()
      await fresh.restart()
      await fresh.client().call('FUNCTION', 'LOAD', 'REPLACE', library('kept'))
      const again = await start({ name: 'whole' })
      await eventually(() => expect(causesOf(again, 'whole')).not.toContain('functions'))
      expect(await functionsOf(fresh)).toEqual([])
    })
  },
)

describe('where the primary was changed while functions differed, none is brought over before a verify', () => {
  /** The old server has a newer source. */
  async function differing(): Promise<DataPathUnderTest> {
    const path = await start()
    await path.client().call('FUNCTION', 'LOAD', library('kept'))
    await settled(path)
    await fresh.client().call('ACL', 'SETUSER', 'default', '-function')
    await path.client().call('FUNCTION', 'LOAD', 'REPLACE', library('kept', 2))
    await inDoubt(path)
    return path
  }
  async function switchByForce(path: DataPathUnderTest): Promise<Config> {
    const change = path.change(options({ phase: 'switched' }))
    expect(await path.runtime.apply({ ...change, force: true })).toMatchObject({ ok: true })
    return change.config
  }
  async function isTurned(path: DataPathUnderTest, name: string): Promise<void> {
    await fresh.client().call('ACL', 'SETUSER', 'default', '+function')
    await path.client().set('k', 1)
    await eventually(async () => expect(await old.client().get('k')).toBe('1'))
    expect(causesOf(path, name)).toEqual(expect.arrayContaining(['functions', 'turned']))
    expect(await functionsOf(old)).toEqual([library('kept', 2)])
    await path.runtime.jobs.verified(name, await path.runtime.jobs.verifyTicket(name))
    await eventually(() => expect(causesOf(path, name)).toEqual([]))
    expect(await functionsOf(old)).toEqual([library('kept')])
  }

  test('also when the route gets another name then', async () => {
    const path = await differing()
    const switched = await switchByForce(path)
    const { config } = path.change(options({ phase: 'switched', name: 'whole' }))
    expect(await path.runtime.apply(changeBetween(switched, config, 9))).toMatchObject({ ok: true })
    await isTurned(path, 'whole')
  })

  test('also when the route gets another name at the next start', async () => {
    const path = await differing()
    await switchByForce(path)
    await path.stop()
    await isTurned(await start({ phase: 'switched', name: 'whole' }), 'whole')
  })

  test.each(['all', 'whole'])('also when it is changed while nothing runs, of a route called %s', async (name) => {
    const path = await differing()
    await path.stop()
    await isTurned(await start({ phase: 'switched', name }), name)
  })
})

/** What a crash at this moment would leave. */
function onDisk() {
  const copy = mkdtempSync(join(dir, 'crash-'))
  cpSync(join(dir, 'state'), copy, { recursive: true })
  const database = new DatabaseSync(join(copy, 'dirty.db'), { readOnly: true })
  const row = database.prepare("SELECT primary_end AS places FROM primaries WHERE route = '*'").get()
  const causes = database.prepare("SELECT cause FROM verify_causes WHERE route = 'all'").all()
  database.close()
  return { ...row, causes: causes.map(({ cause }) => cause) }
}

test('between which servers functions are mirrored is on disk from the first moment, and no sooner than that they are in doubt', async () => {
  fresh.pause()
  await start()
  // As before they were mirrored: a run that ends now lets the next one begin with them, and they are turned nowhere.
  expect(onDisk()).toEqual({ causes: [] })
  await eventually(() => expect(onDisk()).not.toEqual({ causes: [] }))
  expect(onDisk()).toEqual({ places: functionPlacesOf(configOf(options({}))), causes: ['functions'] })
  fresh.resume()
})

test('where mirroring begins again between the same servers a crash does not leave it open which of them was the primary', async () => {
  const path = await start()
  await eventually(() => expect(causesOf(path)).toEqual([]))
  // Nothing is settled in between: the log of what is being written has places of the first time.
  fresh.pause()
  await path.client().set('k', 1)
  await path.apply(options({ phase: 'passthrough' }))
  expect(onDisk()).toMatchObject({ places: '' })
  await path.apply(options({ phase: 'mirror' }))
  expect(onDisk()).not.toMatchObject({ places: '' })
  fresh.resume()
})

test('a store that only gets another name is where it was: functions in doubt are brought over', async () => {
  const path = await start()
  await path.client().call('FUNCTION', 'LOAD', library('kept'))
  await settled(path)
  await fresh.client().call('ACL', 'SETUSER', 'default', '-function')
  await path.client().call('FUNCTION', 'LOAD', 'REPLACE', library('kept', 2))
  await inDoubt(path)
  await path.apply({
    ...options({}),
    stores: { alt: old, new: fresh, third },
    routes: [{ name: 'all', source: 'alt', target: 'new', phase: 'mirror' }],
  })
  expect(causesOf(path)).toEqual(['functions'])
  await fresh.client().call('ACL', 'SETUSER', 'default', '+function')
  await eventually(async () => expect(await functionsOf(fresh)).toEqual([library('kept', 2)]))
  await eventually(() => expect(causesOf(path)).toEqual([]))
})

test('the places of functions are those of the route `*`, whatever it is called', () => {
  const of = (where: Where) => functionPlacesOf(configOf(options(where)))
  const places = of({})
  expect(places).toMatch(/^old .* > new /)
  expect(of({ name: 'whole', phase: 'shadow' })).toBe(places)
  expect(of({ at: third })).not.toBe(places)
  expect(of({ target: 'third' })).not.toBe(places)
  expect(of({ phase: 'switched' })).toMatch(/^new .* > old /)
  expect(of({ phase: 'passthrough' })).toBe('')
  expect(of({ target: 'old' })).toBe('')
})

describe('where mirroring begins, the libraries that were there before are brought over', () => {
  /** Somebody's own stay, but for those of the primary's names. */
  const brought = (path: DataPathUnderTest) =>
    eventually(async () => {
      expect(causesOf(path)).toEqual([])
      expect(await functionsOf(fresh)).toEqual([library('early'), library('own')])
    })

  beforeEach(async () => {
    await old.client().call('FUNCTION', 'LOAD', library('early'))
    await fresh.client().call('FUNCTION', 'LOAD', library('own'))
  })

  test('while it runs, and not again by a switch', async () => {
    const path = await start({ phase: 'passthrough' })
    await path.client().set('k', 1)
    await path.apply(options({ phase: 'mirror' }))
    await brought(path)
    await path.apply(options({ phase: 'switched' }))
    expect(causesOf(path)).toEqual([])
    expect(await functionsOf(old)).toEqual([library('early')])
  })

  test('to another target', async () => {
    const path = await start({ target: 'third' })
    await eventually(async () => expect(await functionsOf(third)).toEqual([library('early')]))
    await eventually(() => expect(causesOf(path)).toEqual([]))
    await path.apply(options({}))
    await brought(path)
  })

  test('with the first start', async () => {
    await brought(await start())
  })

  test('with a later start', async () => {
    await (await start({ phase: 'passthrough' })).stop()
    await brought(await start())
  })

  test('after a restart in between, also after a crash', async () => {
    const path = await start({ phase: 'passthrough' })
    await path.client().set('k', 1)
    await fresh.kill9()
    await path.apply(options({ phase: 'mirror' }))
    const stateDir = mkdtempSync(join(dir, 'crash-'))
    cpSync(join(dir, 'state'), stateDir, { recursive: true })
    await path.stop()
    await fresh.restart()
    await fresh.client().call('FUNCTION', 'LOAD', library('own'))
    const again = await start()
    await brought(again)
    await again.stop()
    await fresh.client().call('FUNCTION', 'DELETE', 'early')
    const crashed = await start({ stateDir })
    // Whether the primary was changed, too, nobody may know by then.
    await crashed.runtime.jobs.verified('all', await crashed.runtime.jobs.verifyTicket('all'))
    await brought(crashed)
  })
})

test.each<[string, () => Promise<unknown>]>([
  ['neither has any', async () => {}],
  ['the primary has none, and the shadow does not let them be listed', () => mayNot(fresh)],
  ['the primary does not let them be listed', () => mayNot(old)],
])('where mirroring begins and %s, nothing is said of functions', async (_how, prepare) => {
  await prepare()
  const path = await start()
  await eventually(() => expect(causesOf(path)).toEqual([]))
  expect(path.runtime.stats().routes['all']!.refusedBecause).toBeNull()
  expect(JSON.stringify(path.notices)).not.toContain('functions')
})

function mayNot(server: RedisServer): Promise<unknown> {
  return server.client().call('ACL', 'SETUSER', 'default', '-function')
}
