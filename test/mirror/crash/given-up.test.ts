import { afterEach, expect, test } from 'vitest'
import { startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { HoldingNetwork } from '../../support/holding-network.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { mirroredRoute, mirrorSettled } from '../../support/migration.ts'
import { startRedis } from '../../support/redis.ts'
import { settled } from '../../support/settled.ts'
import { startUnderstudy } from '../../support/understudy.ts'

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

for (const which of ['primary', 'shadow'] as const) {
  test(`what the network holds of a connection to the ${which} that was given up is not executed behind what came later`, async () => {
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    running.push(old, fresh)
    const network = await new HoldingNetwork(which === 'primary' ? old : fresh).start()
    running.push(network)
    const through = { host: '127.0.0.1', port: network.port }
    const path = await startDataPath({
      stores: which === 'primary' ? { old: through, new: fresh } : { old, new: through },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
      store: { timeoutMs: 400 },
    })
    running.push(path)
    const app = path.client()
    await eventually(() => app.sadd('s', 'before'))
    await eventually(() => app.set('k', 'before'))
    await settled(path)

    network.hold()
    const written = Promise.allSettled([app.sadd('s', 'held'), app.set('k', 'held')])
    await eventually(() => expect(network.holds('held')).toBe(true))
    await written
    await eventually(() => app.set('k', 'after'))
    await eventually(() => expect(path.runtime.stats().stores['new']!.state).toBe('up'))
    await settled(path)

    await network.letGo()
    // Behind what was held in the line of both servers.
    await Promise.all([old.client().ping(), fresh.client().ping()])
    await eventually(() => app.set('end', 1))
    await settled(path)
    expect(await old.client().get('k')).toBe('after')
    expect(await driftBetween(old, fresh)).toEqual([])
  })
}

for (const held of ['', 'WATCH'] as const) {
  test(`nor what it holds of a transaction's own connection, ${held === '' ? 'when all hang' : 'when the others go on'}`, async () => {
    const [old, fresh] = await Promise.all([startRedis(), startRedis()])
    running.push(old, fresh)
    const network = await new HoldingNetwork(old).start()
    running.push(network)
    const path = await startDataPath({
      stores: { old: { port: network.port }, new: fresh },
      routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
      store: { timeoutMs: 1_000 },
    })
    running.push(path)
    const app = path.client()
    const other = path.client()
    await eventually(() => other.set('k', 'before'))
    await eventually(() => app.watch('w'))
    await settled(path)

    network.hold(held)
    const written = Promise.allSettled([app.multi().set('k', 'held').exec()])
    await eventually(() => expect(network.holds('held')).toBe(true))
    expect((await written)[0]!.status).toBe('rejected')
    await eventually(() => other.set('k', 'after'))
    await settled(path)

    await network.letGo()
    await old.client().ping()
    await eventually(() => other.set('end', 1))
    await settled(path)
    expect(await old.client().get('k')).toBe('after')
    expect(await driftBetween(old, fresh)).toEqual([])
  })
}

test('nor what it holds of a process that is no more', async () => {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  const [toOld, toNew] = await Promise.all([new HoldingNetwork(old).start(), new HoldingNetwork(fresh).start()])
  running.push(toOld, toNew)
  const stores = { old: { url: `redis://127.0.0.1:${toOld.port}` }, new: { url: `redis://127.0.0.1:${toNew.port}` } }
  const understudy = await startUnderstudy({ stores, routes: [mirroredRoute()] })
  running.push(understudy)
  const [app, transactor] = [understudy.client({ retryStrategy: null }), understudy.client({ retryStrategy: null })]
  for (const key of ['at-shadow', 'at-primary', 'in-transaction']) await app.set(key, 'before')
  await transactor.watch('w')
  await mirrorSettled(understudy)

  toNew.hold()
  await app.set('at-shadow', 'held')
  await eventually(() => expect(toNew.holds('at-shadow')).toBe(true))
  toOld.hold('WATCH')
  const written = [transactor.multi().set('in-transaction', 'held').exec()]
  await eventually(() => expect(toOld.holds('in-transaction')).toBe(true))
  toOld.hold()
  written.push(app.set('at-primary', 'held') as never)
  await eventually(() => expect(toOld.holds('at-primary')).toBe(true))
  const ended = Promise.allSettled(written)
  await understudy.kill9()
  await ended

  await understudy.restart()
  const later = understudy.client()
  for (const key of ['at-shadow', 'at-primary', 'in-transaction']) await later.set(key, 'after')
  await mirrorSettled(understudy)
  await Promise.all([toOld.letGo(), toNew.letGo()])
  await Promise.all([old.client().ping(), fresh.client().ping()])
  await later.set('end', 1)
  await mirrorSettled(understudy)
  expect(await old.client().mget('at-shadow', 'at-primary', 'in-transaction')).toEqual(['after', 'after', 'after'])
  expect(await driftBetween(old, fresh)).toEqual([])
})

test('a store that does not let Understudy end its connections is served, and named once', async () => {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  running.push(old, fresh)
  await old.client().call('ACL', 'SETUSER', 'limited', 'on', '>secret', '~*', '&*', '+@all', '-client|kill')
  const path = await startDataPath({
    stores: { old: { port: old.port, username: 'limited', password: 'secret' }, new: fresh },
    routes: [{ source: 'old', target: 'new', phase: 'mirror' }],
  })
  running.push(path)
  const app = path.client()
  await app.set('k', 1)
  await app.watch('k')
  await app.multi().set('k', 2).exec()
  await settled(path)
  const said = path.notices.filter((notice) => notice.kind === 'log' && notice.line.msg.includes('CLIENT KILL'))
  expect(said).toHaveLength(1)
  expect(said[0]).toMatchObject({
    line: { level: 'warn', fields: { store: 'old', reason: expect.stringMatching(/^NOPERM /) } },
  })
  expect(await driftBetween(old, fresh)).toEqual([])
})
