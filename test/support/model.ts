import { expect } from 'vitest'
import type { DataPathUnderTest } from './data-path.ts'
import type { Outages } from './outages.ts'
import { settled } from './settled.ts'
import { Consumer, type Payloads, Writer } from './write-load.ts'

const SEED = Number(process.env['MODEL_SEED'] ?? 1)
export const SECONDS: number = Number(process.env['MODEL_SECONDS'] ?? 0)
/** Of each of four writers; about seven commands a round. */
export const ROUNDS = 200

export interface Load {
  readonly databases: readonly number[]
  /** The other side has no second one. Default: false. */
  readonly oneDatabase?: boolean
  readonly prefixes: readonly string[]
  readonly payloads: Payloads
  readonly everywhere: boolean
  readonly fieldTimes: boolean
  /** Not where the primary has other names than the application. */
  readonly undeclared: boolean
  /** What Understudy rightly refuses of it. Default: nothing. */
  readonly refused?: RegExp
}

/** What was sent in all rounds of a case. */
export class Totals {
  commands = 0
  taken = 0
  keys = 0
  readonly names = new Set<string>()
  readonly happened: string[] = []

  async run(
    path: DataPathUnderTest,
    load: Load,
    seed: number,
    outages: readonly Outages[],
    rounds = ROUNDS,
  ): Promise<void> {
    const writers = await Promise.all(
      [2, 3, 2, 3].map((protocol, i) => Writer.open(path.port, protocol as 2 | 3, { ...load, seed: seed * 100 + i })),
    )
    const consumers = await Promise.all(
      [2, 3].map((protocol, i) => Consumer.start(path.port, protocol as 2 | 3, seed * 100 + 50 + i, load.prefixes)),
    )
    if (load.everywhere) await writers[0]!.everywhere()
    await Promise.all(writers.map((writer) => writer.run(rounds)))
    for (const consumer of consumers) await consumer.stop()
    for (const writer of writers) writer.close()
    for (const one of outages) {
      await one.stop()
      this.happened.push(...one.happened)
    }
    const errors = [...writers, ...consumers].flatMap((one) => one.ownErrors)
    expect(errors.filter((error) => load.refused?.test(error) !== true)).toEqual([])
    for (const one of [...writers, ...consumers]) for (const name of one.succeeded) this.names.add(name)
    for (const writer of writers) this.commands += writer.commands
    for (const consumer of consumers) this.taken += consumer.taken
    await settled(path, 60_000)
  }

  report(what: string, path: DataPathUnderTest): void {
    const routes = Object.values(path.runtime.stats().routes).map(
      ({ counters: c }) =>
        `applied ${c.applied}, copied ${c.copied}, dirtied ${c.dirtied}, shadow errors ${c.shadowError}`,
    )
    console.info(
      `${what}: ${this.commands} commands, ${this.taken} taken by blocking ones, ${this.keys} keys; ${routes.join('; ')}; ${this.happened.length} outages`,
    )
  }
}

/** Once, or one seed after the other for `MODEL_SECONDS`. */
export async function again(one: (seed: number) => Promise<void>): Promise<void> {
  const until = Date.now() + SECONDS * 1_000
  for (let seed = SEED; ; seed++) {
    try {
      await one(seed)
    } catch (error) {
      throw new Error(`with MODEL_SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
    if (Date.now() >= until) return
  }
}
