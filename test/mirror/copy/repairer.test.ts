import { beforeEach, describe, expect, test } from 'vitest'
import { hashBytes } from '../../../src/base/hash.ts'
import { CommandTable } from '../../../src/command/table.ts'
import type { DataPathContext } from '../../../src/mirror/context.ts'
import { CopyState } from '../../../src/mirror/copy/copy-state.ts'
import { Repairer } from '../../../src/mirror/copy/repairer.ts'
import { DirtySet } from '../../../src/mirror/dirty/dirty-set.ts'
import { OverlapTable } from '../../../src/mirror/keys/overlap.ts'
import type { LogLine } from '../../../src/observability/log.ts'
import { decodeReply } from '../../../src/resp/decode.ts'
import { ReplyFramer } from '../../../src/resp/reply-framer.ts'
import type { RouteState } from '../../../src/routing/route.ts'
import { RouteTable } from '../../../src/routing/route-table.ts'
import { InFlight, type ReplyOwner } from '../../../src/upstream/pipeline/in-flight.ts'
import { configOf, type RouteOptions } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'

/** Of what is sent together: the end of its first command. */
function firstEnd(bytes: Buffer): number {
  return new ReplyFramer().frame(bytes, 0, bytes.length)
}

/** A pipeline that keeps what it is given, for the test to answer. */
class FakePipeline {
  readonly lane: number
  state = 'up'
  error: string | null = null
  readonly options = { identity: { database: 0 } }
  readonly sent: { owner: ReplyOwner; slot: InFlight; words: string[]; bytes: Buffer }[] = []

  constructor(lane: number) {
    this.lane = lane
  }

  push(owner: ReplyOwner, bytes: Buffer): InFlight {
    const slot = new InFlight()
    slot.end = bytes.length
    const [name, ...args] = (decodeReply(bytes, 0, firstEnd(bytes)) as Buffer[]).map(String) as [string, ...string[]]
    this.sent.push({ owner, slot, words: [name.toUpperCase(), ...args], bytes })
    return slot
  }

  connect(): void {}

  /** Answers the oldest command. */
  answer(reply: string): void {
    const { owner, slot } = this.sent.shift()!
    const bytes = Buffer.from(reply)
    owner.settle(slot, bytes, 0, bytes.length)
  }
}

const ROUTES: RouteOptions[] = [
  { name: 'a', keys: ['a:{id}'], source: 'old', target: 'new', phase: 'mirror' },
  { name: 'rest', source: 'old', target: 'new', phase: 'mirror' },
]

let primary: FakePipeline
let shadow: FakePipeline
let clock: { nowMs: number }
let dirty: DirtySet
let context: DataPathContext
let repairer: Repairer
let logged: string[]

function tableOf(routes: RouteOptions[], states = new Map<string, RouteState>()): RouteTable {
  return new RouteTable(configOf({ stores: { old: { port: 1 }, new: { port: 2 } }, routes }), 1, ['old', 'new'], states)
}

beforeEach(() => {
  primary = new FakePipeline(1)
  shadow = new FakePipeline(2)
  clock = { nowMs: 1_000 }
  logged = []
  const store = (pipeline: FakePipeline) => ({
    shared: () => pipeline,
    cluster: null,
    sharedPipelines: () => [pipeline],
    busiest: () => pipeline,
    shadows: { to: () => pipeline, refusal: () => null },
  })
  context = {
    clock,
    commands: CommandTable.builtin(),
    routes: tableOf(ROUTES),
    stores: [store(primary), store(shadow)],
    copies: new CopyState({ bigKeyBytes: Number.POSITIVE_INFINITY }),
    log: (line: { msg: string }) => logged.push(line.msg),
  } as unknown as DataPathContext
  dirty = new DirtySet(100_000)
  repairer = new Repairer(context, dirty, new OverlapTable({ nowMs: 0 }), () => {})
})

function mark(name: string, route = 'rest'): void {
  dirty.mark(context.routes.byName(route)!, 0, Buffer.from(name), 'overlap', clock.nowMs)
}

/** Lets `ms` pass and runs. */
function after(ms: number): void {
  clock.nowMs += ms
  repairer.run(clock.nowMs)
}

/** The primary answers DUMP and PEXPIRETIME of the oldest copy. */
function answerReads(): void {
  primary.answer('$7\r\npayload\r\n')
  primary.answer(':-1\r\n')
}

/** To the key `k`, which is being rebuilt. */
function written(...words: string[]): void {
  for (const rebuild of context.copies.rebuildsOf(0, Buffer.from('k'))) {
    rebuild.effect(
      words[0]!,
      words.map((word) => Buffer.from(word)),
      null,
    )
  }
}

test('what is written to a key whose piece waits for room in the backlog is done to the copy behind that piece', async () => {
  ;(context as { copies: CopyState }).copies = new CopyState({ bigKeyBytes: 1 })
  const { state } = context.routes.byName('rest')!
  mark('k')
  after(0)
  for (const reply of [':100\r\n', '+set\r\n']) primary.answer(reply)
  expect(primary.sent.map(({ words }) => words[0])).toEqual(['SSCAN', 'PEXPIRETIME'])
  state.backlogBytes = 100 * 1024 * 1024
  for (const reply of ['*2\r\n$1\r\n7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n', ':-1\r\n']) primary.answer(reply)
  expect(shadow.sent).toEqual([])
  written('SREM', 'k', 'a')
  const sent = shadow.sent.map(({ bytes }) => bytes.toString())
  expect(sent).toEqual([expect.stringContaining('SADD'), expect.stringContaining('SREM')])
  state.backlogBytes = 0
  // Once: what is behind it waits for its answer.
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect([shadow.sent.length, primary.sent.length]).toEqual([2, 0])
})

test('a piece that waits for room in the backlog is no part of the copy when that begins anew', async () => {
  ;(context as { copies: CopyState }).copies = new CopyState({ bigKeyBytes: 1 })
  const { state } = context.routes.byName('rest')!
  mark('k')
  after(0)
  for (const reply of [':100\r\n', '+set\r\n']) primary.answer(reply)
  state.backlogBytes = 100 * 1024 * 1024
  for (const reply of ['*2\r\n$1\r\n7\r\n*1\r\n$1\r\na\r\n', ':-1\r\n']) primary.answer(reply)
  written('DEL', 'k')
  state.backlogBytes = 0
  await eventually(() => expect(primary.sent.map(({ words }) => words[0])).toEqual(['TYPE']))
  // A round of a scan that finds nothing.
  for (const reply of ['+set\r\n', '*2\r\n$1\r\n7\r\n*0\r\n', ':-1\r\n']) primary.answer(reply)
  written('SADD', 'k', 'b')
  expect(shadow.sent.map(({ words }) => words[0])).toEqual(['SADD', 'PEXPIRE'])
})

describe('a key', () => {
  test('is read and restored, and is clean when the shadow has said so', () => {
    mark('k')
    after(0)
    expect(primary.sent.map(({ words }) => words)).toEqual([
      ['DUMP', 'k'],
      ['PEXPIRETIME', 'k'],
    ])
    answerReads()
    expect(shadow.sent.map(({ words }) => words)).toEqual([['RESTORE', 'k', '0', 'payload', 'REPLACE']])
    expect(context.routes.byName('rest')!.state).toMatchObject({ backlogCommands: 1 })
    expect(dirty.size).toBe(1)
    shadow.answer('+OK\r\n')
    expect(dirty.size).toBe(0)
    expect(context.routes.byName('rest')!.state).toMatchObject({ backlogCommands: 0, backlogBytes: 0, copied: 1 })
    expect(repairer.running).toBe(0)
  })

  test('that came into being while a server that is too old for PEXPIRETIME was asked for it is restored, not deleted', () => {
    mark('k')
    after(0)
    primary.answer('$-1\r\n')
    primary.answer("-ERR unknown command 'PEXPIRETIME'\r\n")
    expect(primary.sent.map(({ words }) => words)).toEqual([
      ['DUMP', 'k'],
      ['PTTL', 'k'],
    ])
    answerReads()
    expect(shadow.sent.map(({ words }) => words)).toEqual([['RESTORE', 'k', '0', 'payload', 'REPLACE']])
  })

  test('that fails waits longer each time, up to ten seconds, and is never given up', () => {
    mark('k')
    const waits: number[] = []
    let waited = 0
    after(0)
    while (waits.length < 10) {
      if (primary.sent.length > 0) {
        if (waited > 0) waits.push(waited)
        waited = 0
        answerReads()
        shadow.answer('-ERR bad payload\r\n')
      }
      after(20)
      waited += 20
    }
    expect(waits).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, 10_000])
    expect(dirty.size).toBe(1)
    // The same cause is said once.
    expect(logged).toHaveLength(1)
  })

  test('that a store refuses does not make a route look as if a store were down, and the log says which command it was', () => {
    const said: unknown[] = []
    context = { ...context, log: ({ fields }) => said.push(fields) }
    repairer = new Repairer(context, dirty, new OverlapTable({ nowMs: 0 }), () => {})
    mark('k')
    after(0)
    answerReads()
    shadow.answer("-ERR unknown command 'rESTORE', with args beginning with: 'k'\r\n")
    // Of the rebuild that follows.
    primary.answer('+hash\r\n')
    while (dirty.size > 0 && primary.sent.length > 0)
      primary.answer("-NOPERM User app has no permissions to run the 'hscan' command\r\n")
    expect(said.at(-1)).toMatchObject({ route: 'rest', reason: 'NOPERM HSCAN' })
    // It rests before the next attempt.
    after(20)
    expect(primary.sent).toEqual([])
    expect(repairer.stateOf('rest')).toBe('copying')
    primary.state = 'down'
    after(20)
    expect(repairer.stateOf('rest')).toBe('paused')
  })

  test('into which another connection wrote is read again at once', () => {
    const overlap = new OverlapTable({ nowMs: 0 })
    repairer = new Repairer(context, dirty, overlap, () => {})
    mark('k')
    after(0)
    primary.answer('$7\r\npayload\r\n')
    const everyHash = Array.from({ length: 1 << 14 }, (_, hash) => hash)
    for (const hash of everyHash) overlap.enter(hash, 99)
    primary.answer(':-1\r\n')
    expect(shadow.sent).toEqual([])
    for (const hash of everyHash) overlap.leave(hash, 99)
    after(5)
    answerReads()
    shadow.answer('+OK\r\n')
    expect(dirty.size).toBe(0)
    expect(logged).toEqual([])
  })

  describe('into which another connection writes each time', () => {
    const hash = hashBytes(Buffer.from('k'), 0, 1)
    let overlap: OverlapTable
    let resumed: number
    beforeEach(() => {
      overlap = new OverlapTable({ nowMs: 0 })
      resumed = 0
      repairer = new Repairer(context, dirty, overlap, () => resumed++)
      mark('k')
    })
    const state = (): RouteState => context.routes.byName('rest')!.state
    const inVain = (times: number): void => {
      for (let i = 0; i < times; i++) {
        after(300)
        primary.answer('$7\r\npayload\r\n')
        overlap.enter(hash, 99)
        overlap.leave(hash, 99)
        primary.answer(':-1\r\n')
      }
    }

    test('is read while new writes of it wait, as soon as those under way are answered', async () => {
      Object.assign(context, { copies: new CopyState({ bigKeyBytes: Number.POSITIVE_INFINITY, holdMs: 60_000 }) })
      inVain(7)
      expect(state().held).toBe(false)
      inVain(1)
      overlap.enter(hash, 99)
      after(300)
      expect(state()).toMatchObject({ held: true, switching: false })
      expect([...state().heldKeys]).toEqual([hash])
      expect(primary.sent).toEqual([])
      overlap.leave(hash, 99)
      await eventually(() => expect(primary.sent).toHaveLength(2), { intervalMs: 1 })
      expect(resumed).toBe(0)
      answerReads()
      expect(state()).toMatchObject({ held: false, keyHolds: 1, keyHoldsInVain: 0 })
      expect(resumed).toBe(1)
      // Behind the copy's place.
      mark('k')
      clock.nowMs += 10
      shadow.answer('+OK\r\n')
      expect([dirty.size, dirty.figures.hot('rest'), dirty.figures.oldestMs('rest')]).toEqual([1, 1, clock.nowMs - 10])
      expect(logged).toHaveLength(1)
    })

    test('has its writes held for a tenth of a second at most, and then not for a while', async () => {
      inVain(8)
      overlap.enter(hash, 99)
      after(300)
      expect(state().held).toBe(true)
      await eventually(() => expect(state()).toMatchObject({ held: false, keyHolds: 1, keyHoldsInVain: 1 }))
      expect(resumed).toBe(1)
      // What was asked for goes on without it.
      await eventually(() => expect(primary.sent).toHaveLength(2))
      answerReads()
      overlap.leave(hash, 99)
      inVain(8)
      after(20)
      expect(state().held).toBe(false)
      expect(state().keyHeldMs).toBeGreaterThan(99)
      answerReads()
      shadow.answer('+OK\r\n')
      expect(dirty.size).toBe(0)
    })

    test('is not held while there is no room for the copy, nor while a switch holds everything', () => {
      state().backlogBytes = 60 * 1024 * 1024
      inVain(9)
      expect(state().heldKeys.size).toBe(0)
      state().backlogBytes = 0
      state().holdAll()
      inVain(1)
      expect(state().heldKeys.size).toBe(0)
      state().releaseAll()
      after(300)
      expect(state().heldKeys.size).toBe(1)
      state().holdAll()
      answerReads()
      expect(state()).toMatchObject({ held: true, switching: true })
      state().releaseAll()
      expect(state().held).toBe(false)
    })
  })

  test('whose primary changed while it was read is not written', () => {
    mark('k')
    after(0)
    primary.answer('$7\r\npayload\r\n')
    context.routes = tableOf(ROUTES.map((route) => ({ ...route, phase: 'switched' as const })))
    primary.answer(':-1\r\n')
    expect(primary.sent).toEqual([])
    expect(shadow.sent).toEqual([])
    expect(dirty.size).toBe(1)
  })
})

describe('many keys', () => {
  test('are copied 64 at a time, oldest first', () => {
    for (let i = 0; i < 200; i++) mark(`k${i}`)
    after(0)
    expect(repairer.running).toBe(64)
    expect(primary.sent[0]!.words).toEqual(['DUMP', 'k0'])
    answerReads()
    shadow.answer('+OK\r\n')
    // The next begins as soon as one is done.
    expect(repairer.running).toBe(64)
    expect(primary.sent.at(-1)!.words).toEqual(['PEXPIRETIME', 'k64'])
  })

  test('that cannot be copied do not hold up one that can', () => {
    for (let i = 0; i < 1_000; i++) mark(`stuck${i}`)
    mark('free')
    let copied = false
    for (let round = 0; round < 20_000 && !copied; round++) {
      after(20)
      while (primary.sent.length > 0) {
        const [, key] = primary.sent[0]!.words
        answerReads()
        shadow.answer(key === 'free' ? '+OK\r\n' : '-ERR bad\r\n')
        copied ||= key === 'free'
      }
    }
    expect(copied).toBe(true)
    expect(dirty.size).toBe(1_000)
  })

  test('that fail by several causes beside others that succeed are said once a minute and cause, with how many they were', () => {
    const log = ({ msg, fields }: LogLine) => logged.push(`${msg}: ${fields?.reason} ${fields?.count}`)
    Object.assign(context, { log })
    for (let i = 0; i < 100; i++) mark(`stuck${i}`)
    for (let ms = 0; ms < 65_000; ms += 50) {
      mark(`free${ms}`)
      after(50)
      while (primary.sent.length > 0) {
        const key = primary.sent[0]!.words[1]!
        answerReads()
        shadow.answer(
          key.startsWith('free') ? '+OK\r\n' : Number(key.slice(5)) % 2 === 0 ? '-ERR bad\r\n' : '-OOM full\r\n',
        )
      }
    }
    expect(dirty.size).toBe(100)
    const said = logged.map((line) => line.replace(/^a dirty key could not.*: /, '').split(' '))
    expect(said.map(([cause]) => cause)).toEqual(['ERR', 'OOM', 'ERR', 'OOM'])
    expect(said.slice(0, 2).map(([, count]) => count)).toEqual(['1', '1'])
    for (const [, count] of said.slice(2)) expect(Number(count)).toBeGreaterThan(50 * 6)
  })

  test('that all fail: after 512 copies pause, a few are tried now and then, and the first success goes on with all', () => {
    for (let i = 0; i < 5_000; i++) mark(`k${i}`)
    let copies = 0
    const answerAll = (reply: string): void => {
      while (primary.sent.length > 0) {
        answerReads()
        shadow.answer(reply)
        copies++
      }
    }
    for (let i = 0; i < 20; i++) {
      after(20)
      answerAll('-OOM full\r\n')
    }
    expect(copies).toBeLessThan(512 + 64)
    expect(repairer.stateOf('rest')).toBe('tripped')
    expect(repairer.refusedCopyOf('rest')).toBe('OOM')
    expect(logged.filter((line) => line.includes('keep failing'))).toHaveLength(1)
    copies = 0
    for (let i = 0; i < 500; i++) {
      after(20)
      answerAll('-OOM full\r\n')
    }
    // Ten seconds with pauses of half a second to five.
    expect(copies).toBeGreaterThan(64)
    expect(copies).toBeLessThan(5 * 64)
    after(5_000)
    answerReads()
    shadow.answer('+OK\r\n')
    expect([dirty.size > 0, repairer.refusedCopyOf('rest')]).toEqual([true, null])
    for (let i = 0; i < 1_000; i++) {
      after(20)
      answerAll('+OK\r\n')
    }
    expect([dirty.size, repairer.stateOf('rest')]).toEqual([0, 'idle'])
    expect(logged.filter((line) => line.includes('succeed again'))).toHaveLength(1)
  })

  test('of a route whose shadow is down wait, those of another do not', () => {
    const down = new FakePipeline(3)
    down.state = 'down'
    const stores = context.stores as unknown as { shadows: { to: (database: number) => FakePipeline } }[]
    context.routes = tableOf([{ ...ROUTES[0]!, target: { store: 'old', keys: { 'a:{id}': 'b:{id}' } } }, ROUTES[1]!])
    stores[0]!.shadows.to = () => down
    for (let i = 0; i < 2_000; i++) mark(`a:${i}`, 'a')
    mark('k')
    after(0)
    expect(primary.sent.map(({ words }) => words[1])).toEqual(['k', 'k'])
    answerReads()
    shadow.answer('+OK\r\n')
    expect(dirty.count('rest')).toBe(0)
    down.state = 'up'
    after(20)
    // One server: it copies by itself.
    expect(down.sent[0]!.words[0]).toBe('COPY')
  })

  test('of a database that the primary refuses ask for a connection every five seconds, and are forgotten only where it has no such database', () => {
    let words = 'NOPERM User app has no permissions to run the select command'
    const made: FakePipeline[] = []
    const stores = context.stores as unknown as { shared: (database: number) => FakePipeline }[]
    stores[0]!.shared = (database) => {
      const last = made.at(-1)
      if (last !== undefined && last.state !== 'closed') return last
      const pipeline = new FakePipeline(10 + database)
      pipeline.state = 'idle'
      pipeline.connect = () => {
        pipeline.state = 'closed'
        pipeline.error = words
      }
      made.push(pipeline)
      return pipeline
    }
    const rest = context.routes.byName('rest')!
    dirty.mark(rest, 5, Buffer.from('k'), 'overlap', clock.nowMs)
    for (let i = 0; i < 240; i++) after(20)
    expect([made.length, dirty.size]).toEqual([1, 1])
    after(400)
    expect([made.length, dirty.size]).toEqual([2, 1])
    words = 'ERR DB index is out of range'
    after(5_000)
    expect([made.length, dirty.size]).toEqual([3, 0])
    // It may be another server by then.
    dirty.mark(rest, 5, Buffer.from('k'), 'overlap', clock.nowMs)
    after(20)
    expect([made.length, dirty.size]).toEqual([4, 0])
  })
})

describe('while the primary may have lost something', () => {
  beforeEach(() => dirty.toVerify.mark('rest', 'primary-restarted'))

  function inDoubt(name: string): void {
    dirty.mark(context.routes.byName('rest')!, 0, Buffer.from(name), 'primary-lost', clock.nowMs)
  }

  /** The primary lacks what is asked for, and the shadow has it. Gives how many keys those were. */
  function lacking(): number {
    let asked = 0
    while (primary.sent.length + shadow.sent.length > 0) {
      if (primary.sent.length > 0) primary.answer(primary.sent[0]!.words[0] === 'DUMP' ? '$-1\r\n' : ':-2\r\n')
      else {
        shadow.answer(':1\r\n')
        asked++
      }
    }
    return asked
  }

  test('many keys that it lacks are asked for a part at a time', () => {
    for (let i = 0; i < 10_000; i++) inDoubt(`k${i}`)
    let asked = 0
    const within = (ms: number): void => {
      for (let passed = 0; passed < ms; passed += 10) {
        after(10)
        asked += lacking()
      }
    }
    within(5_000)
    expect(asked).toBe(10_000)
    asked = 0
    within(40_000)
    expect(asked).toBeGreaterThan(10_000)
    expect(asked).toBeLessThan(23_000)
    expect(dirty.size).toBe(10_000)
    // When it is known to lack nothing they are deleted.
    dirty.toVerify.clear('rest')
    for (let passed = 0; passed < 20_000; passed += 10) {
      after(10)
      for (let sent = primary.sent.length; sent > 0; sent = primary.sent.length)
        primary.answer(primary.sent[0]!.words[0] === 'DUMP' ? '$-1\r\n' : ':-2\r\n')
      while (shadow.sent.length > 0) shadow.answer(':1\r\n')
    }
    expect(dirty.size).toBe(0)
  })

  test('its keys rest, unless one of them is to be copied again', () => {
    inDoubt('gone')
    after(0)
    lacking()
    expect(repairer.stateOf('rest')).toBe('resting')
    inDoubt('k')
    after(20)
    answerReads()
    shadow.answer('-OOM command not allowed\r\n')
    expect(primary.sent).toEqual([])
    expect(repairer.stateOf('rest')).toBe('copying')
    after(400)
    answerReads()
    shadow.answer('+OK\r\n')
    after(400)
    expect(repairer.stateOf('rest')).toBe('resting')
  })
})
