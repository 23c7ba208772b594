import { afterAll, beforeAll, expect, test } from 'vitest'
import { CommandTable } from '../../src/command/table.ts'
import type { Phase } from '../../src/config/config.ts'
import { CommandParser } from '../../src/resp/command-parser.ts'
import { encodeCommand } from '../../src/resp/encode.ts'
import { Plan, planCommand } from '../../src/routing/plan.ts'
import { RouteTable } from '../../src/routing/route-table.ts'
import { refuseServerWide } from '../../src/routing/server-wide.ts'
import { configOf, type DataPathUnderTest, startDataPath } from '../support/data-path.ts'
import { RawClient } from '../support/raw-client.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { settled } from '../support/settled.ts'
import { Random } from '../support/write-load.ts'
import { comparable } from './exceptions.ts'
import { FormSource, type RandomForm } from './random-forms.ts'
import { randomSchema, SCHEMA_KINDS, type Schema, type SchemaKind } from './random-schema.ts'

/**
 * Random commands of an application with a random schema, through Understudy while it goes from phase to phase, and at the same time to a Redis of its own: every answer is the same, and both names hold the same.
 *
 *   SCHEMA_SEED=7 vitest run test/differential/random.test.ts       from another seed on
 *   SCHEMA_SECONDS=600 vitest run test/differential/random.test.ts  one seed after the other
 */
const SEED = Number(process.env['SCHEMA_SEED'] ?? 1)
const SECONDS = Number(process.env['SCHEMA_SECONDS'] ?? 0)
/** Of a packet, a transaction or a scan each. */
const ROUNDS = 60
const SEEDS = 2

let direct: RedisServer
let one: RedisServer
let two: RedisServer
beforeAll(async () => {
  ;[direct, one, two] = await Promise.all([startRedis(), startRedis(), startRedis()])
})
afterAll(() => Promise.all([direct.stop(), one.stop(), two.stop()]))

test.each(SCHEMA_KINDS)(
  'random commands under random names are answered as by a server of the application’s own: %s',
  async (kind) => {
    const until = Date.now() + SECONDS * 1_000
    for (let seed = SEED; seed < SEED + SEEDS || Date.now() < until; seed++) {
      try {
        await play(kind, seed)
      } catch (error) {
        throw new Error(`with SCHEMA_SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        })
      }
    }
  },
  SECONDS * 1_000 + 180_000,
)

async function play(kind: SchemaKind, seed: number): Promise<void> {
  const random = new Random(seed * 4 + SCHEMA_KINDS.indexOf(kind))
  const schema = randomSchema(random, kind)
  for (const server of [direct, one, two]) await server.client().flushall()
  const path = await startDataPath({ stores: { one, two }, routes: schema.routes(schema.phases[0]!) })
  try {
    await new Play(random, schema, path).run()
  } finally {
    await path.stop()
  }
}

interface Difference {
  readonly sent: string
  readonly how: string
  readonly phase: Phase
  readonly wanted: string
  readonly got: string
}

class Play {
  readonly #random: Random
  readonly #schema: Schema
  readonly #path: DataPathUnderTest
  #phase: Phase
  #generation = 0
  readonly #tables: readonly RouteTable[]
  readonly #differences: Difference[] = []

  constructor(random: Random, schema: Schema, path: DataPathUnderTest) {
    this.#random = random
    this.#schema = schema
    this.#path = path
    this.#phase = schema.phases[0]!
    this.#tables = schema.phases.map((phase) => tableOf(schema, phase))
  }

  async run(): Promise<void> {
    const random = this.#random
    const payload = await dumpOf(direct)
    const forms = new FormSource(random, this.#schema.keys, payload)
    const pairs = await Promise.all(
      ([2, 3] as const).map(async (protocol) => {
        const pair = await Promise.all([RawClient.open(direct.port), RawClient.open(this.#path.port)])
        for (const client of pair) await client.ask('HELLO', protocol)
        return pair
      }),
    )
    for (let round = 0; round < ROUNDS; round++) {
      if (round % 12 === 11 && this.#schema.phases.length > 1) await this.#goTo(random.pick(this.#schema.phases))
      const [there, here] = random.pick(pairs) as [RawClient, RawClient]
      const commands = Array.from({ length: random.below(12) + 1 }, () => this.#next(forms))
      switch (random.below(5)) {
        case 0:
          await this.#whole(there, here, commands)
          break
        case 1:
          await this.#stepwise(there, here, commands)
          break
        case 2:
          await this.#scan(there, here, forms)
          break
        default:
          await this.#packet(there, here, commands)
      }
      if (this.#differences.length > 0) break
    }
    for (const pair of pairs) for (const client of pair) client.destroy()
    expect({ schema: this.#schema.shown, differences: this.#differences }).toEqual({
      schema: this.#schema.shown,
      differences: [],
    })
    await this.#bothNamesHoldTheSame()
  }

  /** One that is not refused under any of the names: what cannot be exact, as some patterns of SORT. */
  #next(forms: FormSource): RandomForm {
    for (;;) {
      const form = forms.next()
      const bytes = encodeCommand(form.args)
      parser.parse(bytes, 0, bytes.length)
      const spec = commands.lookup(parser) ?? null
      const refused = this.#tables.some((table) => {
        planCommand(table, spec, parser, plan)
        return plan.refusal !== null || (spec?.write && refuseServerWide(table, spec) !== null)
      })
      if (!refused) return form
    }
  }

  async #goTo(phase: Phase): Promise<void> {
    const names = this.#schema.routes(phase).flatMap((route) => (route.target === undefined ? [] : [route.name!]))
    const side = (which: Phase): boolean => which === 'switched'
    if (side(phase) !== side(this.#phase)) await settled(this.#path)
    const result = await this.#path.runtime.apply({
      config: {
        ...configOf({ stores: { one, two }, routes: this.#schema.routes(phase) }),
        listen: this.#path.config.listen,
      },
      endpoints: {},
      generation: ++this.#generation,
      hold: side(phase) === side(this.#phase) ? [] : names,
      needsEqual: side(phase) === side(this.#phase) ? [] : names,
      forget: [],
      holdTimeoutMs: 30_000,
    })
    expect(result).toMatchObject({ ok: true })
    this.#phase = phase
  }

  async #packet(there: RawClient, here: RawClient, forms: readonly RandomForm[]): Promise<void> {
    const bytes = Buffer.concat(forms.map(({ args }) => encodeCommand(args)))
    there.send(bytes)
    here.send(bytes)
    for (const form of forms) this.#compare(form, 'packet', await there.text(), await here.text())
  }

  async #whole(there: RawClient, here: RawClient, forms: readonly RandomForm[]): Promise<void> {
    const all = [['MULTI'], ...forms.map(({ args }) => args), ['EXEC']]
    const bytes = Buffer.concat(all.map((args) => encodeCommand(args)))
    there.send(bytes)
    here.send(bytes)
    await this.#transaction(there, here, forms, 'whole')
  }

  async #stepwise(there: RawClient, here: RawClient, forms: readonly RandomForm[]): Promise<void> {
    const queue: RawClient[] = [there, here]
    if (this.#random.below(2) === 0) {
      const key = this.#random.pick(this.#schema.keys)
      for (const client of queue) await client.ask('WATCH', key)
    }
    for (const client of queue) client.command('MULTI')
    const answers = [await there.text(), await here.text()]
    this.#compare({ args: ['MULTI'], compare: 'bytes' }, 'stepwise', answers[0]!, answers[1]!)
    for (const form of forms) {
      for (const client of queue) client.command(...form.args)
      this.#compare(form, 'stepwise', await there.text(), await here.text())
    }
    for (const client of queue) client.command('EXEC')
    this.#exec(forms, 'stepwise', await there.text(), await here.text())
  }

  async #transaction(there: RawClient, here: RawClient, forms: readonly RandomForm[], how: string): Promise<void> {
    for (const form of [{ args: ['MULTI'], compare: 'bytes' as const }, ...forms])
      this.#compare(form, how, await there.text(), await here.text())
    this.#exec(forms, how, await there.text(), await here.text())
  }

  /** The replies of EXEC, one by one. */
  #exec(forms: readonly RandomForm[], how: string, wanted: string, got: string): void {
    const [these, those] = [elementsOf(wanted), elementsOf(got)]
    if (these === null || those === null || these.length !== those.length) {
      this.#compare({ args: ['EXEC'], compare: 'bytes' }, how, wanted, got)
      return
    }
    let at = 0
    for (const [i, element] of these.entries()) {
      this.#compare(forms[at++]!, `${how}: EXEC`, element, those[i]!)
    }
  }

  /** From the first page to the last: the same keys, each as often. */
  async #scan(there: RawClient, here: RawClient, forms: FormSource): Promise<void> {
    const random = this.#random
    const options: (string | Buffer)[] = []
    if (random.below(2) === 0) options.push('MATCH', forms.pattern())
    if (random.below(2) === 0) options.push('COUNT', String(random.below(20) + 1))
    if (random.below(3) === 0) options.push('TYPE', random.pick(['string', 'list', 'zset', 'nonsense']))
    const [wanted, got] = [await scanned(there, options), await scanned(here, options)]
    const sent = ['SCAN', '0', ...options]
    this.#compare({ args: sent, compare: 'bytes' }, 'scan', wanted, got)
  }

  #compare({ args, compare }: RandomForm, how: string, wanted: string, got: string): void {
    if (this.#differences.length >= 3) return
    const as = compare === 'bytes' ? undefined : compare
    const [a, b] = [comparable(wanted, as), comparable(got, as)]
    if (a === b) return
    const sent = args.map((arg) => JSON.stringify(typeof arg === 'string' ? arg : arg.toString('latin1'))).join(' ')
    this.#differences.push({ sent, how, phase: this.#phase, wanted: a, got: b })
  }

  async #bothNamesHoldTheSame(): Promise<void> {
    const { kind } = this.#schema
    if (kind === 'namespace') return
    await settled(this.#path)
    expect(this.#path.notices.filter(({ kind: what }) => what === 'finding')).toEqual([])
    const table = tableOf(this.#schema, this.#phase)
    const clients = await Promise.all([direct, one, two].map(({ port }) => RawClient.open(port)))
    const [wanted, ...stores] = clients as [RawClient, RawClient, RawClient]
    const expectedNames = [new Set<string>(), new Set<string>()]
    for (const key of this.#schema.keys) {
      const { route, primary, shadow } = table.find(key, 0, key.length)
      const state = await stateOf(wanted, key)
      for (const [end, rename] of [
        [route.primary, primary],
        [route.shadow, shadow],
      ] as const) {
        if (end === null) continue
        const name = rename?.apply(key, 0, key.length) ?? key
        if (state !== NOTHING) expectedNames[end.store]!.add(name.toString('latin1'))
        const held = await stateOf(stores[end.store]!, name)
        expect({ key: key.toString('latin1'), at: end.storeName, held }).toEqual({
          key: key.toString('latin1'),
          at: end.storeName,
          held: state,
        })
      }
    }
    for (const [i, store] of stores.entries()) expect(await store.ask('DBSIZE')).toBe(`:${expectedNames[i]!.size}\r\n`)
    for (const client of clients) client.destroy()
  }
}

const NOTHING = '+none\r\n'

/** What a key holds, and until when. */
async function stateOf(client: RawClient, key: Buffer): Promise<string> {
  const type = await client.ask('TYPE', key)
  const read = READS[type.slice(1, -2)]
  if (read === undefined) return type
  const values: string[] = []
  for (const [name, ...args] of read)
    values.push(comparable(await client.ask(name!, key, ...args), UNORDERED.has(type) ? 'unordered' : undefined))
  // Relative times begin when each server executes the command.
  const expires = await client.ask('PEXPIRETIME', key)
  const ends = /^:(-1|4000000000000)/.test(expires) ? expires : 'later'
  return [type, ...values, ends].join('').replace(/-NOGROUP .*/g, '-NOGROUP')
}

const READS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  string: [['GET']],
  list: [['LRANGE', '0', '-1']],
  set: [['SMEMBERS']],
  zset: [['ZRANGE', '0', '-1', 'WITHSCORES']],
  hash: [['HGETALL']],
  stream: [
    ['XRANGE', '-', '+'],
    ['XPENDING', 'g0'],
    ['XPENDING', 'g1'],
  ],
}
const UNORDERED: ReadonlySet<string> = new Set(['+set\r\n', '+hash\r\n'])

function tableOf(schema: Schema, phase: Phase): RouteTable {
  const config = configOf({ stores: { one: { port: 1 }, two: { port: 2 } }, routes: schema.routes(phase) })
  return new RouteTable(config, 1, Object.keys(config.stores), new Map())
}

const commands = CommandTable.builtin()
const parser = new CommandParser()
const plan = new Plan()

async function dumpOf(server: RedisServer): Promise<Buffer> {
  const client = server.client()
  await client.set('payload', 'restored')
  const payload = (await client.dumpBuffer('payload')) as Buffer
  await client.del('payload')
  return payload
}

async function scanned(client: RawClient, options: readonly (string | Buffer)[]): Promise<string> {
  const found: string[] = []
  let cursor = '0'
  do {
    const frame = await client.ask('SCAN', cursor, ...options)
    const parts = elementsOf(frame)
    if (parts === null) return frame
    cursor = parts[0]!.split('\r\n')[1]!
    found.push(...elementsOf(parts[1]!)!)
  } while (cursor !== '0')
  return found.sort().join('')
}

/** The elements of an array's frame; null: it is none. */
function elementsOf(frame: string): string[] | null {
  if (!/^\*\d/.test(frame)) return null
  const elements: string[] = []
  let at = frame.indexOf('\n') + 1
  while (at < frame.length) {
    const end = frameEnd(frame, at)
    elements.push(frame.slice(at, end))
    at = end
  }
  return elements
}

function frameEnd(text: string, at: number): number {
  const line = text.indexOf('\r\n', at) + 2
  const count = Number(text.slice(at + 1, line - 2))
  switch (text[at]) {
    case '$':
    case '=':
    case '!':
      return count < 0 ? line : line + count + 2
    case '*':
    case '~':
    case '>':
    case '%': {
      let end = line
      for (let i = 0; i < (text[at] === '%' ? 2 * count : count); i++) end = frameEnd(text, end)
      return end
    }
    default:
      return line
  }
}
