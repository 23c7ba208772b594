import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type DataPathUnderTest, startDataPath } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { RawClient } from '../../support/raw-client.ts'
import { startRedis } from '../../support/redis.ts'

const cleanUps: (() => unknown)[] = []
afterAll(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** By hand: so many seconds. */
const SECONDS = Number(process.env['TROUBLE_SECONDS'] ?? 4)

/** A small generator of its own, so that a run can be made again. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

type Kind = 'GET' | 'INCR' | 'HINCRBY' | 'TYPE' | 'WRONG'

/** What one client saw. */
interface Seen {
  answered: number
  errors: number
  /** Acknowledged increments, and those that may have happened. */
  acknowledged: number
  perhaps: number
}

/** Packets of like commands, one behind the other, until `isOver`. Each reply has to be the right one of its own command, or an error that Understudy or the store gives in such trouble. */
async function load(path: DataPathUnderTest, id: number, isOver: () => boolean): Promise<Seen> {
  const next = random(id + 1)
  const client = await path.raw()
  const seen: Seen = { answered: 0, errors: 0, acknowledged: 0, perhaps: 0 }
  let counter = 0
  while (!isOver()) {
    const packet: { kind: Kind; n: number }[] = []
    for (let run = 1 + next(4); run > 0; run--) {
      const kind = (['GET', 'GET', 'INCR', 'HINCRBY', 'TYPE', 'WRONG'] as const)[next(6)]!
      for (let count = 1 + next(30); count > 0; count--) packet.push({ kind, n: next(50) })
    }
    client.send(Buffer.concat(packet.map(({ kind, n }) => encodeCommand(wordsOf(kind, id, n)))))
    for (const { kind, n } of packet) {
      const reply = await client.text()
      if (kind === 'WRONG') {
        expect(reply).toMatch(/^-(WRONGTYPE|ERR Understudy|BUSY|LOADING)/)
        continue
      }
      const changes = kind === 'INCR'
      if (reply.startsWith('-')) {
        expect(reply).toMatch(/^-(ERR Understudy|BUSY|LOADING)/)
        seen.errors++
        if (changes && /may have been executed/.test(reply)) seen.perhaps++
        continue
      }
      seen.answered++
      if (kind === 'GET') expect(reply).toBe(`$${`v${n}`.length}\r\nv${n}\r\n`)
      else if (kind === 'TYPE') expect(reply).toBe('+string\r\n')
      else if (changes) {
        const value = Number(reply.slice(1))
        expect(value).toBeGreaterThan(counter)
        counter = value
        seen.acknowledged++
      } else expect(reply).toMatch(/^:\d+\r\n$/)
    }
  }
  const total = Number((await settled(client, ['GET', `counter:${id}`])).split('\r\n')[1] ?? 0)
  expect(total).toBeGreaterThanOrEqual(seen.acknowledged)
  expect(total).toBeLessThanOrEqual(seen.acknowledged + seen.perhaps)
  return seen
}

function wordsOf(kind: Kind, id: number, n: number): string[] {
  switch (kind) {
    case 'GET':
      return ['GET', `fixed:${n}`]
    case 'TYPE':
      return ['TYPE', `fixed:${n}`]
    case 'INCR':
      return ['INCR', `counter:${id}`]
    case 'HINCRBY':
      return ['HINCRBY', `hash:${id}`, `${n}`, '1']
    case 'WRONG':
      return ['LLEN', `fixed:${n}`]
  }
}

async function settled(client: RawClient, words: string[]): Promise<string> {
  for (;;) {
    const reply = await client.ask(...words)
    if (!reply.startsWith('-')) return reply
    await sleep(20)
  }
}

/** By a connection of its own each time: one whose command a pause holds back behind a script is not heard while that runs, and the script would never end. */
async function killScript(port: number): Promise<void> {
  const killer = await RawClient.open(port)
  await Promise.race([killer.ask('SCRIPT', 'KILL').catch(() => ''), sleep(1_000)])
  killer.destroy()
}

test.each(['passthrough', 'mirror'] as const)(
  'whatever befalls the store, each command of a packet gets its own reply or an error, and increments are counted exactly (%s)',
  async (phase) => {
    const shadow = await startRedis()
    const store = await startRedis({ args: ['--busy-reply-threshold', '20', '--enable-debug-command', 'local'] })
    const path = await startDataPath({
      stores: { store, shadow },
      store: { timeoutMs: 150 },
      routes: [{ name: 'all', source: 'store', target: 'shadow', phase }],
    })
    cleanUps.push(
      () => shadow.stop(),
      () => store.stop(),
      () => path.stop(),
    )
    const admin = await RawClient.open(store.port)
    const setUp = Array.from({ length: 50 }, (_, n) => [`fixed:${n}`, `v${n}`]).flat()
    expect(await admin.ask('MSET', ...setUp)).toBe('+OK\r\n')
    const until = Date.now() + SECONDS * 1_000
    const isOver = (): boolean => Date.now() > until
    const loads = Promise.all(Array.from({ length: 12 }, (_, id) => load(path, id, isOver)))
    const next = random(Date.now())
    const killing = setInterval(() => void killScript(store.port), 100)
    cleanUps.push(() => clearInterval(killing))
    const done = { cut: 0, asleep: 0, paused: 0, busy: 0 }
    while (!isOver()) {
      await sleep(next(150))
      switch (next(4)) {
        case 0:
          await admin.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
          done.cut++
          break
        case 1:
          // Beyond the time-out, or beyond three of them, when the connection is given up.
          expect(await admin.ask('DEBUG', 'SLEEP', next(3) === 0 ? '0.6' : '0.2')).toMatch(/^(\+OK|-BUSY)/)
          done.asleep++
          break
        case 2:
          await admin.ask('CLIENT', 'PAUSE', `${next(300)}`, next(2) === 0 ? 'ALL' : 'WRITE')
          done.paused++
          break
        case 3: {
          const culprit = await path.raw()
          culprit.command('EVAL', 'while true do end', '0')
          await sleep(next(120))
          culprit.destroy()
          done.busy++
          break
        }
      }
    }
    const seen = await loads
    const sum = (of: (one: Seen) => number): number => seen.reduce((total, one) => total + of(one), 0)
    expect(sum((one) => one.answered)).toBeGreaterThan(1_000)
    expect(sum((one) => one.errors)).toBeGreaterThan(10)
    if (SECONDS > 4)
      console.log(done, {
        answered: sum((one) => one.answered),
        errors: sum((one) => one.errors),
        acknowledged: sum((one) => one.acknowledged),
        perhaps: sum((one) => one.perhaps),
      })
    // The last script may still be on its way, and has to be killed like the others.
    await eventually(() => expect(path.runtime.stats().routes['all']!.inFlight).toBe(0))
    clearInterval(killing)
    if (phase === 'passthrough') return
    // What was lost on its way is copied, and in the end both have the same.
    const target = await RawClient.open(shadow.port)
    for (let id = 0; id < seen.length; id++) {
      await eventually(async () => {
        const counters = await Promise.all([admin, target].map((client) => client.ask('GET', `counter:${id}`)))
        expect(counters[1]).toBe(counters[0])
      })
    }
    target.destroy()
  },
)
