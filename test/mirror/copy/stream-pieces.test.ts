import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Args } from '../../../src/command/effects.ts'
import { CommandTable } from '../../../src/command/table.ts'
import { KEY, WHOLE } from '../../../src/mirror/copy/pieces/pieces.ts'
import { StreamPieces } from '../../../src/mirror/copy/pieces/stream.ts'
import { viewOf } from '../../../src/resp/command-view.ts'
import { ErrorReply, type Reply } from '../../../src/resp/reply.ts'
import { effectOf } from '../../support/effect-of.ts'
import { driftBetween } from '../../support/keyspace.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { WireClient } from '../../support/wire-client.ts'

let old: RedisServer
let fresh: RedisServer
let oldWire: WireClient
let freshWire: WireClient
beforeAll(async () => {
  ;[old, fresh] = await Promise.all([startRedis(), startRedis()])
  ;[oldWire, freshWire] = (await Promise.all([old, fresh].map(({ port }) => WireClient.open(port)))) as [
    WireClient,
    WireClient,
  ]
})
afterAll(async () => {
  for (const wire of [oldWire, freshWire]) wire?.close()
  await Promise.all([old?.stop(), fresh?.stop()])
})
afterEach(() => Promise.all([old, fresh].map((server) => server.client().flushall())))

type Call = (words: Args) => Promise<Reply>

function caller(client: WireClient): Call {
  return async (words) => {
    const reply = await client.call(...words.map((word) => (word === KEY ? 'x' : word)))
    if (reply instanceof ErrorReply) throw new Error(`${reply.text}: ${words.join(' ')}`)
    return reply
  }
}

/**
 * Copies the stream `x`, `size` elements a round, to a server that has none of it. `meanwhile` writes to it behind each round, and gives the effects of that. False: the copy is worth nothing.
 */
async function copy(
  size: number,
  meanwhile: (round: number, write: Call) => Promise<readonly Args[]>,
  from = caller(oldWire),
  countsEntries = true,
): Promise<boolean> {
  const to = caller(freshWire)
  const pieces = new StreamPieces(Buffer.from('x'), Date.now, countsEntries)
  for (let round = 1; ; round++) {
    const replies: Reply[] = []
    for (const args of pieces.reads(size)) replies.push(await from(args))
    const taken = pieces.take(replies)
    if (taken === null) return false
    for (const args of taken.writes) await to(args)
    if (taken.done) return true
    for (const args of await meanwhile(round, from)) {
      const verdict = pieces.effect(nameOf(args), args)
      if (verdict.kind === 'restart') return false
      if (verdict.kind === 'also') for (const also of verdict.commands) await to(also)
    }
  }
}

function nameOf([first, second]: Args): string {
  return String(first) === 'XGROUP' ? `XGROUP ${second}` : String(first)
}

const words = (line: string): Buffer[] => line.split(' ').map((word) => Buffer.from(word))

/** What is sent to the shadow for a command; null: the key is copied anew. */
async function effectsOf(line: string, write: Call): Promise<readonly Args[] | null> {
  const args = words(line)
  let effect = effectOf(table.lookup(viewOf(args))!, args, await write(args), context)
  if (effect.kind === 'none') return []
  if (effect.kind === 'as-sent') return [args]
  const list: Args[] = []
  while (effect.kind === 'commands') {
    list.push(...effect.commands)
    if (effect.followUp === undefined) return list
    effect = effect.followUp.effect(await write(effect.followUp.read))
  }
  return effect.kind === 'none' ? list : null
}

/** Behind the first round that has entries. */
function afterTwo(...lines: string[]): (round: number, write: Call) => Promise<readonly Args[]> {
  return async (round, write) => {
    const list: Args[] = []
    if (round === 2) for (const line of lines) list.push(...(await effectsOf(line, write))!)
    return list
  }
}

const table = CommandTable.builtin()
const context = { nowMs: Date.now(), shadowHasAbsoluteExpiry: true, canAsk: true }

/** Nine entries, and a group. */
async function fill(): Promise<void> {
  const from = old.client()
  for (let i = 1; i <= 9; i++) await from.xadd('x', `${i}-1`, 'f', 'v')
  await from.xgroup('CREATE', 'x', 'g', '0')
}

const deliver = (count: number) => `XREADGROUP GROUP g c COUNT ${count} STREAMS x >`

test.each([
  ['entries that are delivered, and deleted before they are read', [deliver(7), 'XDEL x 2-1 5-1 6-1 9-1']],
  [
    'entries that are delivered, and deleted until none is left',
    [deliver(9), 'XDEL x 1-1 2-1 3-1 4-1 5-1 6-1 7-1 8-1 9-1'],
  ],
  ['entries that are delivered, and trimmed before they are read', [deliver(7), 'XTRIM x MINID 5-1']],
  [
    'entries that are delivered, some of them trimmed, and acknowledged',
    [deliver(7), 'XTRIM x MAXLEN 5', 'XACK x g 1-1 3-1'],
  ],
  ['all of it trimmed', [deliver(7), 'XTRIM x MAXLEN 0']],
  [
    'entries that are delivered twice',
    [deliver(7), 'XREADGROUP GROUP g c COUNT 4 STREAMS x 0', 'XREADGROUP GROUP g c STREAMS x 2-1'],
  ],
  ['entries that change hands', [deliver(7), 'XCLAIM x g d 0 1-1 2-1 3-1 7-1', 'XAUTOCLAIM x g e 0 2-1 COUNT 2']],
  ['a group that comes', ['XGROUP CREATE x h 0', 'XREADGROUP GROUP h c COUNT 5 STREAMS x >', deliver(3)]],
  ['a group that goes', [deliver(5), 'XGROUP DESTROY x g']],
  ['a group that goes and comes', [deliver(5), 'XGROUP DESTROY x g', 'XGROUP CREATE x g 4-1', deliver(2)]],
  ['a consumer that goes', [deliver(5), 'XGROUP DELCONSUMER x g c', deliver(1)]],
  ['a group that is turned back', [deliver(5), 'XGROUP SETID x g 2-1', deliver(2)]],
  ['new entries', ['XADD x MAXLEN = 6 10-1 f v', 'XADD x 11-1 f v', deliver(11)]],
])('in the copy is what is written while the stream is read: %s', async (_, lines) => {
  for (const size of [2, 3]) {
    await Promise.all([old, fresh].map((server) => server.client().flushall()))
    await fill()
    expect(await copy(size, afterTwo(...lines))).toBe(true)
    expect(await driftBetween(old, fresh)).toEqual([])
    expect(await consumersOf(fresh)).toEqual(await consumersOf(old))
  }
})

/** With how many entries each has. */
async function consumersOf(server: RedisServer): Promise<unknown> {
  const groups = (await server.client().xinfo('GROUPS', 'x')) as unknown[][]
  const lists = groups.map(([, name]) => server.client().xinfo('CONSUMERS', 'x', String(name)) as Promise<unknown[][]>)
  return (await Promise.all(lists)).map((list) => list.map(([, name, , pending]) => [name, pending]))
}

test.each([
  ['it is read again what has been trimmed', [deliver(7), 'XTRIM x MAXLEN 5', 'XREADGROUP GROUP g c STREAMS x 0']],
  [
    'ids come that are smaller than those that were read',
    ['XDEL x 9-1 8-1 7-1 6-1 5-1 4-1 3-1 2-1', 'XSETID x 1-1', 'XADD x 1-2 f v'],
  ],
  ['it is another key', ['XDEL x 1-1', 'XDELEX x IDS 1 1-1']],
])('a copy is worth nothing when %s', async (_, lines) => {
  await fill()
  expect(
    await copy(2, async (round, write) => {
      if (round !== 2) return []
      for (const line of lines) await write(words(line)).catch(() => {})
      return lines.map(words)
    }),
  ).toBe(false)
})

test('however much was delivered at once, it is claimed a few thousand at a time: one command would keep the shadow busy for long', async () => {
  const call = caller(oldWire)
  const ids = Array.from({ length: 20_000 }, (_, i) => `${i + 1}-0`)
  const adding = "for i = 1, 20000 do redis.call('XADD', 'x', i .. '-0', 'f', 'v') end"
  await call(['EVAL', adding, '0'].map((word) => Buffer.from(word)))
  await call(words('XGROUP CREATE x g 0'))
  await call(words('XREADGROUP GROUP g c STREAMS x >'))
  await call(words(`XCLAIM x g c 0 ${ids.join(' ')} TIME 1000 JUSTID`))
  const pieces = new StreamPieces(Buffer.from('x'), Date.now, true)
  const claimed: string[] = []
  for (let done = false; !done; ) {
    const replies: Reply[] = []
    for (const args of pieces.reads(WHOLE)) replies.push(await call(args))
    const taken = pieces.take(replies)!
    done = taken.done
    for (const args of taken.writes) {
      if (nameOf(args) !== 'XCLAIM') continue
      const some = args.map(String).filter((word) => /^\d+-0$/.test(word))
      expect(some.length).toBeLessThanOrEqual(2_000)
      claimed.push(...some)
    }
  }
  expect(claimed).toEqual(ids)
})

test('consumers come to a server from before 6.2, which makes one only of who reads', async () => {
  await fill()
  const from = caller(oldWire)
  for (const line of [
    deliver(4),
    'XGROUP CREATECONSUMER x g idle',
    'XGROUP CREATE x h $',
    'XGROUP CREATECONSUMER x h d',
  ])
    await from(words(line))
  await fresh.client().call('ACL', 'SETUSER', 'default', '-xgroup|createconsumer')
  try {
    for (const size of [2, WHOLE]) {
      await fresh.client().flushall()
      expect(await copy(size, async () => [], from, false)).toBe(true)
      expect(await consumersOf(fresh)).toEqual(await consumersOf(old))
      const pending = (server: RedisServer) => server.client().xpending('x', 'g', '-', '+', 10, 'c')
      const [here, there] = (await Promise.all([fresh, old].map(pending))) as [unknown[][], unknown[][]]
      expect(here.map(([id, , , deliveries]) => [id, deliveries])).toEqual(there.map(([id, , , times]) => [id, times]))
    }
  } finally {
    await fresh.client().call('ACL', 'SETUSER', 'default', '+xgroup|createconsumer')
  }
})

test('entries that were deleted before the primary counted that leave the others in the copy', async () => {
  await fill()
  const from = caller(oldWire)
  for (const line of [deliver(8), 'XDEL x 3-1 6-1']) await from(words(line))
  // As a stream that was loaded from before 7.0 says: nothing was deleted.
  const asLoaded: Call = async (args) => {
    const reply = await from(args)
    return String(args[1]) === 'STREAM' ? fieldOf(reply, 'max-deleted-entry-id', Buffer.from('0-0')) : reply
  }
  for (const size of [1, 2, 3, 4, 100, WHOLE]) {
    await fresh.client().flushall()
    expect(await copy(size, async () => [], asLoaded)).toBe(true)
    const kept = (server: RedisServer): Promise<unknown> =>
      Promise.all([server.client().xrange('x', '-', '+'), server.client().xpending('x', 'g')])
    expect(await kept(fresh)).toEqual(await kept(old))
  }
})

/** The flat map with another value. */
function fieldOf(reply: Reply, name: string, value: Reply): Reply {
  const flat = [...(reply as readonly Reply[])]
  flat[flat.findIndex((field) => String(field) === name) + 1] = value
  return flat
}

test('a copy is what the stream is, whatever is written between its rounds', { timeout: 60_000 }, async () => {
  const id = fc.nat(14).map((n) => `${n}-1`)
  const ids = fc.array(id, { minLength: 1, maxLength: 4 }).map((list) => [...new Set(list)].join(' '))
  const few = fc.integer({ min: 0, max: 6 })
  const group = fc.constantFrom('g', 'g', 'h')
  const who = fc.tuple(group, fc.constantFrom('c', 'd')).map((pair) => pair.join(' '))
  const line = fc.oneof(
    { weight: 3, arbitrary: fc.constant('XADD x * f v') },
    fc.tuple(fc.constantFrom('= ', '', '~ '), few).map(([how, n]) => `XADD x MAXLEN ${how}${n} * f v`),
    { weight: 4, arbitrary: fc.tuple(who, few).map(([to, n]) => `XREADGROUP GROUP ${to} COUNT ${n + 1} STREAMS x >`) },
    fc.tuple(who, few, id).map(([to, n, after]) => `XREADGROUP GROUP ${to} COUNT ${n + 1} STREAMS x ${after}`),
    { weight: 2, arbitrary: ids.map((list) => `XDEL x ${list}`) },
    few.map((n) => `XTRIM x MAXLEN ${n}`),
    id.map((least) => `XTRIM x MINID ${least}`),
    { weight: 2, arbitrary: fc.tuple(group, ids).map(([from, list]) => `XACK x ${from} ${list}`) },
    fc.tuple(who, ids).map(([to, list]) => `XCLAIM x ${to} 0 ${list}`),
    fc.tuple(who, ids, few).map(([to, list, n]) => `XCLAIM x ${to} 0 ${list} RETRYCOUNT ${n} FORCE JUSTID`),
    fc.tuple(who, id, few).map(([to, from, n]) => `XAUTOCLAIM x ${to} 0 ${from} COUNT ${n + 1}`),
    fc.tuple(group, id).map(([name, from]) => `XGROUP CREATE x ${name} ${from}`),
    group.map((name) => `XGROUP DESTROY x ${name}`),
    fc.tuple(group, id).map(([name, to]) => `XGROUP SETID x ${name} ${to}`),
    who.map((to) => `XGROUP CREATECONSUMER x ${to}`),
    who.map((to) => `XGROUP DELCONSUMER x ${to}`),
  )
  let whole = 0
  const rounds = fc.array(fc.array(line, { maxLength: 4 }), { minLength: 1, maxLength: 10 })
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), rounds, async (size, lines) => {
      await Promise.all([old, fresh].map((server) => server.client().flushall()))
      await fill()
      const isWhole = await copy(size, async (round, write) => {
        const list: Args[] = []
        for (const one of lines[round - 1] ?? []) {
          // Refused: there is no such group, say.
          const effects = await effectsOf(one, write).catch(() => [])
          list.push(...(effects ?? [words('XDELEX x IDS 1 1-1')]))
        }
        return list
      })
      if (!isWhole) return
      whole++
      expect(await driftBetween(old, fresh)).toEqual([])
      expect(await consumersOf(fresh)).toEqual(await consumersOf(old))
    }),
    { numRuns: Number(process.env['RUNS'] ?? 150) },
  )
  expect(whole).toBeGreaterThan(50)
})
