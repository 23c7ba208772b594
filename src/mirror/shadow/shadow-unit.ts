import type { CommandSpec } from '../../command/spec.ts'
import { encodeCommand } from '../../resp/encode.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight, ReplyOwner } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { AckWaiter } from './ack-waiter.ts'

/** One command of a transaction on its way to the shadow. `original`: the application's bytes, where those are others. */
export interface Item {
  readonly spec: CommandSpec
  readonly route: Route
  readonly database: number
  readonly bytes: Buffer
  readonly original: Buffer | null
  readonly answer: number
}

/** A transaction on its way: MULTI, the commands, EXEC. */
export class Unit {
  readonly items: readonly Item[]
  readonly waiter: AckWaiter | null

  constructor(items: readonly Item[], waiter: AckWaiter | null) {
    this.items = items
    this.waiter = waiter
  }

  frames(): Buffer {
    return Buffer.concat([MULTI, ...this.items.map(({ bytes }) => bytes), EXEC])
  }
}

const MULTI = encodeCommand(['MULTI'])
const EXEC = encodeCommand(['EXEC'])

/** A list for every connection that they leave on, in the order they came. */
export function byShadow(items: readonly Item[]): Iterable<Item[]> {
  return Map.groupBy(items, ({ route, database }) => `${route.shadow!.store}/${database}`).values()
}

/** Calls of functions that `owner` has on its way there: commands by themselves, and those in transactions. */
export function* callsUnderWay({ ring }: Pipeline, owner: ReplyOwner): Generator<InFlight | Item> {
  for (let i = 0; i < ring.length; i++) {
    const slot = ring.at(i)
    if (slot.owner !== owner) continue
    if (slot.extra instanceof Unit) yield* slot.extra.items.filter(({ spec }) => spec.name === 'FCALL')
    else if (slot.spec?.name === 'FCALL') yield slot
  }
}
