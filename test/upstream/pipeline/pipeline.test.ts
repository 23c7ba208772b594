import type { Socket } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { CoarseClock } from '../../../src/base/clock.ts'
import { Turn } from '../../../src/base/turn.ts'
import { decodeReply } from '../../../src/resp/decode.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { type InFlight, type Loss, type ReplyOwner, TOGETHER } from '../../../src/upstream/pipeline/in-flight.ts'
import { Pipeline } from '../../../src/upstream/pipeline/pipeline.ts'
import type { PipelineConnection, PipelineConnectionOwner } from '../../../src/upstream/pipeline/pipeline-connection.ts'
import type { PipelineOptions } from '../../../src/upstream/pipeline/pipeline-options.ts'
import { configOf } from '../../support/data-path.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeStore } from '../../support/fake-store.ts'

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** What became of one command. */
class Command implements ReplyOwner {
  readonly id: string
  readonly bytes: Buffer
  readonly events: string[] = []
  reply: unknown
  loss: Loss | null = null
  onSettled: (() => void) | null = null

  constructor(id: string, size = 0) {
    this.id = id
    this.bytes = encodeCommand(['ECHO', id, Buffer.alloc(size)])
  }

  settle(_slot: InFlight, buf: Buffer, start: number, end: number): void {
    this.events.push('settled')
    this.reply = `${decodeReply(buf, start, end)}`
    this.onSettled?.()
  }

  lost(_slot: InFlight, loss: Loss): void {
    this.events.push('lost')
    this.loss = loss
  }

  timedOut(): void {
    this.events.push('timed out')
  }

  get done(): boolean {
    return this.events.includes('settled') || this.events.includes('lost')
  }
}

/** A store that echoes, one reply at a time when it is told to (`hold`), and remembers what it has seen. */
class EchoStore {
  hold = false
  readonly seen: string[] = []
  readonly #held: { socket: Socket; reply: Buffer }[] = []
  #store!: FakeStore

  static async start(): Promise<EchoStore> {
    const echo = new EchoStore()
    echo.#store = await FakeStore.start((args, socket) => {
      const [, word = ''] = args
      echo.seen.push(word)
      const reply = Buffer.from(`$${word.length}\r\n${word}\r\n`)
      // A store answers in order: what is held holds up the rest of its connection.
      if (!echo.hold && !echo.#held.some((one) => one.socket === socket)) return reply
      echo.#held.push({ socket, reply })
      return null
    })
    cleanUps.push(() => echo.#store.stop())
    return echo
  }

  get port(): number {
    return this.#store.port
  }

  get accepted(): number {
    return this.#store.accepted
  }

  release(count: number): void {
    for (const { socket, reply } of this.#held.splice(0, count)) socket.write(reply)
  }

  /** Ends every connection: at once, or in the middle of a reply. */
  kill(how: 'reset' | 'end' | 'half' | 'garbage'): void {
    const last = this.#held.at(-1)
    if (how === 'half' && last !== undefined) last.socket.write(this.#held[0]!.reply.subarray(0, 3))
    if (how === 'garbage' && last !== undefined) last.socket.write('garbage\r\n')
    this.#held.length = 0
    this.#store.disconnect(how === 'reset')
  }
}

function pipelineTo(port: () => number | null, more: Partial<PipelineOptions> = {}, store: object = {}): Pipeline {
  const clock = new CoarseClock()
  const config = configOf({ stores: { only: { port: 1, ...store } } }).stores['only']!
  const pipeline = new Pipeline({
    store: config,
    endpoint: () => (port() === null ? 'no address known yet' : { kind: 'tcp', host: '127.0.0.1', port: port()! }),
    identity: { database: 0, protocol: 2, user: null },
    turn: new Turn(),
    clock,
    whenDown: 'fail',
    batchMs: 0,
    dedicated: false,
    limitBytes: 1024 * 1024,
    ...more,
  })
  clock.start(5, (nowMs) => pipeline.tick(nowMs))
  cleanUps.push(() => {
    pipeline.close('the test is over')
    clock.stop()
  })
  return pipeline
}

/** To something with several servers behind it, which is up at once and says what `owner` is told. */
function pipelineOfSeveral(): { pipeline: Pipeline; owner: () => PipelineConnectionOwner } {
  let owner: PipelineConnectionOwner | null = null
  const outlet = {
    writableLength: 0,
    write: () => {},
    cork: () => {},
    uncork: () => {},
    pause: () => {},
    resume: () => {},
  }
  const connection: PipelineOptions['connection'] = (_options, told) => {
    owner = told
    return {
      socket: outlet,
      lastReadMs: 0,
      open: () => told.ready(0),
      openLater: () => {},
      greeted: () => {},
      proven: () => false,
      unblocking: () => 'impossible',
      drop: () => {},
    }
  }
  return { pipeline: pipelineTo(() => 1, { connection }), owner: () => owner! }
}

function push(pipeline: Pipeline, command: Command): Command {
  pipeline.push(command, command.bytes, 0, command.bytes.length)
  return command
}

describe('a pipeline', () => {
  test('is held only behind what has left: the command that its owner waits for leaves in any case', async () => {
    const store = await EchoStore.start()
    const pipeline = pipelineTo(() => store.port)
    const first = push(pipeline, new Command('first'))
    await eventually(() => expect(first.done).toBe(true))
    const head = push(pipeline, new Command('head'))
    pipeline.hold()
    await eventually(() => expect(head.done).toBe(true))
    store.hold = true
    const script = push(pipeline, new Command('script'))
    await eventually(() => expect(store.seen).toContain('script'))
    pipeline.hold()
    const behind = push(pipeline, new Command('behind'))
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    expect(store.seen).not.toContain('behind')
    store.hold = false
    store.release(1)
    await eventually(() => expect([script.done, behind.done]).toEqual([true, true]))
  })

  test('pairs replies with commands by their order, whatever their size', async () => {
    const store = await EchoStore.start()
    const pipeline = pipelineTo(() => store.port)
    const sizes = [0, 1, 65_000, 70_000, 10, 200_000, 0, 64 * 1024, 1]
    for (let round = 0; round < 20; round++) {
      const commands = sizes.map((size, i) => push(pipeline, new Command(`${round}:${i}`, size)))
      await eventually(() => expect(commands.every((command) => command.done)).toBe(true), { intervalMs: 1 })
      expect(commands.map((command) => command.reply)).toEqual(commands.map((command) => command.id))
    }
    expect(pipeline.pendingBytes).toBe(0)
    expect(pipeline.quiet).toBe(true)
    expect(store.accepted).toBe(1)
  })

  test('shows the owner of a run the places of its commands, with their bytes, before they are free', async () => {
    const store = await EchoStore.start()
    const pipeline = pipelineTo(() => store.port)
    const told: string[] = []
    const seen: string[] = []
    let runs = 0
    const text = (slot: InFlight): string => slot.chunk!.buf.toString('latin1', slot.start, slot.end)
    const owner: ReplyOwner = {
      // What does not come in one read is told alone.
      settle: (slot) => {
        seen.push(text(slot))
        told.push(`${slot.seq}`)
      },
      settleTogether: ({ seq, count }, ring) => {
        for (let i = 0; i < count; i++) {
          expect(ring.at(i).seq).toBe(seq + i)
          seen.push(text(ring.at(i)))
        }
        expect(told).toHaveLength(seq)
        // Who pushes meanwhile comes behind.
        if (count > 1) pipeline.push(other, other.bytes, 0, other.bytes.length)
        runs++
      },
      settleRun: ({ seq, count }) => {
        for (let i = 0; i < count; i++) told.push(`${seq + i}`)
        if (count > 1) expect(pipeline.ring.length).toBeGreaterThan(0)
      },
      lost: (_slot, { text: why }) => expect.fail(why),
      timedOut: () => {},
    }
    const other = new Command('other')
    const sent: Buffer[] = []
    // Until some have come together, in one read.
    for (let round = 0; round < 200 && runs < 5; round++) {
      for (let i = 0; i < 30; i++) {
        const bytes = encodeCommand(['ECHO', `${sent.length}`])
        const slot = pipeline.push(owner, bytes, 0, bytes.length)
        slot.seq = sent.length
        slot.flags = TOGETHER | 1
        sent.push(bytes)
      }
      await eventually(() => expect(told).toHaveLength(sent.length), { intervalMs: 1 })
    }
    expect(runs).toBeGreaterThan(0)
    expect(told).toEqual(sent.map((_, i) => `${i}`))
    expect(seen).toEqual(sent.map((bytes) => bytes.toString('latin1')))
    await eventually(() => expect(pipeline.quiet).toBe(true))
    expect(pipeline.pendingBytes).toBe(0)
    expect(new Set(other.events)).toEqual(new Set(['settled']))
  })

  test('is full beyond its limit, and says when there is room', async () => {
    const store = await EchoStore.start()
    store.hold = true
    const pipeline = pipelineTo(() => store.port)
    let drained = 0
    pipeline.onDrain = () => drained++
    for (let i = 0; i < 20; i++) push(pipeline, new Command(`${i}`, 100_000))
    expect(pipeline.full).toBe(true)
    await eventually(() => expect(store.seen).toHaveLength(20))
    drained = 0
    store.release(20)
    await eventually(() => expect(pipeline.full).toBe(false))
    expect(drained).toBeGreaterThan(0)
  })

  test('that fails when down says so before anything is sent, and goes on when the store is there', async () => {
    let port: number | null = null
    const pipeline = pipelineTo(() => port)
    const early = push(pipeline, new Command('early'))
    await eventually(() => expect(early.events).toEqual(['lost']))
    expect(early.loss?.mayHaveRun).toBe(false)
    const store = await EchoStore.start()
    port = store.port
    await eventually(() => expect(pipeline.state).toBe('up'))
    const late = push(pipeline, new Command('late'))
    await eventually(() => expect(late.reply).toBe('late'))
    expect(store.seen).toEqual(['late'])
  })

  test('of a mirror tells of many losses a slice at a time, and connects when all are told', async () => {
    const store = await EchoStore.start()
    store.hold = true
    const pipeline = pipelineTo(() => store.port, { whenDown: 'wait', limitBytes: 1024 ** 3 })
    const commands = Array.from({ length: 3_500 }, (_, i) => push(pipeline, new Command(`${i}`)))
    await eventually(() => expect(store.seen).toHaveLength(3_500))
    pipeline.reconnect('a test')
    const told = () => commands.filter((command) => command.done).length
    expect(told()).toBe(1_000)
    // Somebody is in a hurry: not before the last one of the old connection knows.
    pipeline.connect()
    expect(pipeline.state).toBe('down')
    const late = push(pipeline, new Command('late'))
    await eventually(() => expect(told()).toBe(3_500))
    store.hold = false
    await eventually(() => expect(late.reply).toBe('late'))
    expect(commands.every(({ events, loss }) => `${events}` === 'lost' && loss!.mayHaveRun)).toBe(true)
    expect(store.accepted).toBe(2)
  })

  test('that waits when down sends what it could not send before, in order, and nothing twice', async () => {
    let port: number | null = null
    const pipeline = pipelineTo(() => port, { whenDown: 'wait' })
    const early = Array.from({ length: 5 }, (_, i) => push(pipeline, new Command(`early ${i}`, i * 30_000)))
    const store = await EchoStore.start()
    port = store.port
    await eventually(() => expect(early.map((command) => command.reply)).toEqual(early.map((command) => command.id)))
    store.hold = true
    const under = Array.from({ length: 5 }, (_, i) => push(pipeline, new Command(`under ${i}`)))
    await eventually(() => expect(store.seen).toHaveLength(10))
    store.release(2)
    await eventually(() => expect(under[1]!.done).toBe(true))
    store.kill('reset')
    await eventually(() => expect(pipeline.state).toBe('down'))
    const behind = Array.from({ length: 5 }, (_, i) => push(pipeline, new Command(`behind ${i}`)))
    store.hold = false
    await eventually(() => expect(behind.every((command) => command.done)).toBe(true))
    expect(behind.map((command) => command.reply)).toEqual(behind.map((command) => command.id))
    expect(under.map((command) => command.loss?.mayHaveRun ?? false)).toEqual([false, false, true, true, true])
    expect(new Set(store.seen).size).toBe(store.seen.length)
  })

  test('sends what is pushed ahead before all that has not left, and takes none for settled before it is', async () => {
    const store = await EchoStore.start()
    store.hold = true
    const pipeline = pipelineTo(() => store.port, { whenDown: 'wait' })
    const written = push(pipeline, new Command('written'))
    await eventually(() => expect(store.seen).toEqual(['written']))
    const unsent = [push(pipeline, new Command('large', 70_000)), push(pipeline, new Command('small'))]
    const before = pipeline.totalBytes
    const ahead = new Command('ahead')
    pipeline.pushAhead(ahead, ahead.bytes, 0, ahead.bytes.length)
    await eventually(() => expect(store.seen).toEqual(['written', 'ahead', 'large', 'small']))
    for (const command of [written, ahead, ...unsent]) {
      expect(pipeline.settledBytes).toBeLessThan(before)
      store.release(1)
      await eventually(() => expect(command.reply).toBe(command.id))
    }
    expect(pipeline.settledBytes).toBeGreaterThanOrEqual(before)
    expect(pipeline.pendingBytes).toBe(0)
  })

  test('keeps the place of a command that has timed out', async () => {
    const store = await EchoStore.start()
    store.hold = true
    const pipeline = pipelineTo(() => store.port, {}, { timeoutMs: 60_000 })
    const slow = push(pipeline, new Command('slow'))
    await eventually(() => expect(store.seen).toHaveLength(1))
    pipeline.tick(pipeline.options.clock.nowMs + 60_000)
    expect(slow.events).toEqual(['timed out'])
    const next = push(pipeline, new Command('next'))
    await eventually(() => expect(store.seen).toHaveLength(2))
    store.release(2)
    await eventually(() => expect(next.done).toBe(true))
    expect([slow.reply, next.reply]).toEqual(['slow', 'next'])
    expect(slow.events).toEqual(['timed out', 'settled'])
  })

  test('that is closed by what a reply leads to tells every owner exactly once', async () => {
    const store = await EchoStore.start()
    store.hold = true
    const pipeline = pipelineTo(() => store.port)
    // As many as the ring has places, so that what is pushed meanwhile takes the place of the one being told.
    const commands = Array.from({ length: 16 }, (_, i) => push(pipeline, new Command(`${i}`)))
    let again: Command | null = null
    commands[0]!.onSettled = () => pipeline.reconnect('because')
    const lost = commands[1]!.lost.bind(commands[1])
    commands[1]!.lost = (slot, loss) => {
      lost(slot, loss)
      again = push(pipeline, new Command('again'))
    }
    await eventually(() => expect(store.seen).toHaveLength(16))
    store.release(16)
    await eventually(() => expect(again?.done).toBe(true))
    expect(commands.map((command) => command.events)).toEqual([
      ['settled'],
      ...Array.from({ length: 15 }, () => ['lost']),
    ])
  })

  test.each(['in the line', 'detached'])(
    'that is closed by what the loss of one command %s leads to tells every owner exactly once',
    async (where) => {
      const { pipeline, owner } = pipelineOfSeveral()
      const commands = Array.from({ length: 4 }, (_, i) => push(pipeline, new Command(`${i}`)))
      await eventually(() => expect(pipeline.state).toBe('up'))
      const [older, closing] = [owner().detachHead(1, false)!, commands[1]!]
      const lost = closing.lost.bind(closing)
      closing.lost = (slot, loss) => {
        lost(slot, loss)
        pipeline.close('because')
      }
      const loss = { mayHaveRun: true, text: 'ERR its node has gone' }
      if (where === 'detached') owner().detachHead(1, false)!.lost(loss)
      else expect(owner().lostHead(loss)).toBe(0)
      older.lost(loss)
      expect(commands.map((command) => command.events)).toEqual(commands.map(() => ['lost']))
      expect(closing.loss).toBe(loss)
      expect(pipeline.quiet).toBe(true)
      expect(pipeline.pendingBytes).toBe(0)
    },
  )

  test('whose owner fails on a reply tells it of a loss, and serves the others', async () => {
    const store = await EchoStore.start()
    const pipeline = pipelineTo(() => store.port)
    const [bad, behind] = [new Command('bad'), new Command('behind')]
    bad.onSettled = () => {
      throw new Error('a defect')
    }
    push(pipeline, bad)
    push(pipeline, behind)
    await eventually(() => expect(behind.done).toBe(true))
    expect(bad.events).toEqual(['settled', 'lost'])
    const next = push(pipeline, new Command('next'))
    await eventually(() => expect(next.done).toBe(true))
    expect(pipeline.quiet).toBe(true)
  })

  test('what goes down a shared connection waits while clients are read in every turn, and leaves with the first turn that reads none', async () => {
    const store = await EchoStore.start()
    const turn = new Turn()
    const pipeline = pipelineTo(() => store.port, { turn })
    const first = push(pipeline, new Command('first'))
    await eventually(() => expect(first.done).toBe(true))
    const waiting = push(pipeline, new Command('waiting'))
    turn.clientRead(1)
    for (let i = 0; i < 50; i++) {
      turn.clientRead(1)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(store.seen).not.toContain('waiting')
    await eventually(() => expect(waiting.done).toBe(true))
  })

  test('the ring of a connection to one server that clients share has all that is in flight, no other', () => {
    const cluster: PipelineOptions['connection'] = () =>
      ({ lastReadMs: 0, drop: () => {} }) as unknown as PipelineConnection
    const lists = [{}, { dedicated: true }, { connection: cluster }].map(
      (options) => pipelineTo(() => 1, options).listsAll,
    )
    expect(lists).toEqual([true, false, false])
  })

  test('what goes down a dedicated connection waits for nobody', async () => {
    const store = await EchoStore.start()
    const turn = new Turn()
    const pipeline = pipelineTo(() => store.port, { turn, dedicated: true })
    const first = push(pipeline, new Command('first'))
    await eventually(() => expect(first.done).toBe(true))
    const gather = vi.spyOn(turn, 'gather')
    const second = push(pipeline, new Command('second'))
    await eventually(() => expect(second.done).toBe(true))
    expect(gather).not.toHaveBeenCalled()
  })

  test('gives up a dedicated connection whose reply takes too long, and only then', async () => {
    const store = await EchoStore.start()
    let closed: string | null = null
    const patient = pipelineTo(() => store.port, { dedicated: true })
    const strict = pipelineTo(() => store.port, { dedicated: true })
    const first = [push(patient, new Command('first')), push(strict, new Command('first'))]
    await eventually(() => expect(first.every(({ done }) => done)).toBe(true))
    store.hold = true
    strict.answersWithinMs = 50
    strict.onClosed = (text) => (closed = text)
    const [waits, lost] = [push(patient, new Command('waits')), push(strict, new Command('lost'))]
    await eventually(() => expect(lost.events).toEqual(['lost']))
    expect(lost.loss?.mayHaveRun).toBe(true)
    expect(closed).toContain('50 ms')
    expect(waits.events).toEqual([])
    expect(strict.state).toBe('closed')
  })
})

type Step =
  | { readonly kind: 'push'; readonly sizes: readonly number[] }
  | { readonly kind: 'release'; readonly count: number }
  | { readonly kind: 'kill'; readonly how: 'reset' | 'end' | 'half' | 'garbage' }
  | { readonly kind: 'hold'; readonly on: boolean }
  | { readonly kind: 'turn' }
  | { readonly kind: 'seen' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('push' as const),
      sizes: fc.array(fc.constantFrom(0, 0, 10, 1_000, 70_000), { minLength: 1, maxLength: 20 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const), count: fc.nat(20) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('kill' as const),
      how: fc.constantFrom('reset', 'end', 'half', 'garbage'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hold' as const), on: fc.boolean() }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'turn' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'seen' as const }) },
)

test.each(['fail', 'wait'] as const)(
  'whatever happens (%s): each command is told once what became of it, and it is true',
  async (whenDown) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const store = await EchoStore.start()
        const pipeline = pipelineTo(() => store.port, { whenDown })
        const commands: Command[] = []
        const settled: string[] = []
        for (const now of steps) {
          switch (now.kind) {
            case 'push':
              for (const size of now.sizes) {
                const command = new Command(`${commands.length}`, size)
                command.onSettled = () => settled.push(command.id)
                commands.push(push(pipeline, command))
              }
              break
            case 'release':
              store.release(now.count)
              break
            case 'kill':
              store.kill(now.how)
              break
            case 'hold':
              store.hold = now.on
              break
            case 'turn':
              await new Promise((resolve) => setImmediate(resolve))
              break
            case 'seen':
              await new Promise((resolve) => setTimeout(resolve, 2))
          }
        }
        store.hold = false
        store.release(Number.POSITIVE_INFINITY)
        await eventually(() => expect(commands.every((command) => command.done)).toBe(true), { intervalMs: 1 })
        for (const command of commands) {
          expect(command.events).toHaveLength(1)
          if (command.loss === null) expect(command.reply).toBe(command.id)
          else if (!command.loss.mayHaveRun) expect(store.seen).not.toContain(command.id)
        }
        expect(new Set(store.seen).size).toBe(store.seen.length)
        expect(settled).toEqual([...settled].sort((a, b) => Number(a) - Number(b)))
        expect([pipeline.pendingBytes, pipeline.quiet]).toEqual([0, true])
        pipeline.close('done')
      }),
      { numRuns: 60 },
    )
  },
)

test.each(['fail', 'wait'] as const)(
  'what comes of connecting at once is told behind whoever connects (%s)',
  async (whenDown) => {
    const pipeline = pipelineTo(() => null, { whenDown })
    const command = new Command('first')
    let drains = 0
    pipeline.onDrain = () => drains++
    pipeline.push(command, command.bytes, 0, command.bytes.length)
    pipeline.connect()
    expect([pipeline.state, drains, command.events]).toEqual(['connecting', 0, []])
    await eventually(() => expect(pipeline.state).toBe('down'))
    expect(command.events).toEqual(whenDown === 'fail' ? ['lost'] : [])
  },
)
