import type { Glob } from '../../routing/glob.ts'
import type { RouteTable } from '../../routing/route-table.ts'
import { applicationMessage, type DatabaseOf, type SubscriptionKind } from '../../routing/subscriptions.ts'
import type { Store } from '../../upstream/store.ts'

/** What a client is subscribed to, by the name it gave. */
export interface Subscription {
  readonly kind: SubscriptionKind
  readonly name: Buffer
  /** Of a pattern: what the store sends may be more. */
  readonly glob: Glob | null
  /** The client has been told: messages are for it from here on. */
  announced: boolean
  /** What it means is as this table says. */
  table: RouteTable
  at: readonly Place[]
}

/** Where a store says it, and under which name there. */
export interface Place {
  readonly store: Store
  readonly name: Buffer
}

/** What the client is told, behind the kind, of a message that the store of the number `store` has sent for the subscription; null: it is not for the client. */
export function translatedFor(
  { kind, name, glob, announced, table }: Subscription,
  store: number,
  channel: Buffer,
  message: Buffer,
  databaseOf: DatabaseOf,
): readonly Buffer[] | null {
  if (!announced) return null
  if (kind === 'psubscribe') {
    const seen = applicationMessage(table, store, channel, message, databaseOf)
    return seen !== null && glob?.matches(seen.channel) !== false ? [name, seen.channel, seen.message] : null
  }
  // It was asked for by its name, so only the message may be a key.
  if (!KEY_EVENT.test(name.toString('latin1', 0, 16))) return [name, message]
  const seen = applicationMessage(table, store, channel, message, databaseOf)
  return seen === null ? null : [name, seen.message]
}

export function isAmong(place: Place, places: readonly Place[]): boolean {
  return places.some((other) => samePlaces([place], [other]))
}

/** The same stores, and the same names there, in the same order. */
export function samePlaces(one: readonly Place[], other: readonly Place[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ store, name }, i) => store === other[i]!.store && name.equals(other[i]!.name))
  )
}

/** Whose channels are whose may be about to change. */
export function isAnyHeld(routes: RouteTable): boolean {
  return routes.routes.some(({ state }) => state.switching)
}

const KEY_EVENT = /^__keyevent@/
