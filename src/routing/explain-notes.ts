import { slotOfKey } from '../command/key-slot.ts'
import { repliesWithKeys } from '../command/reply-keys.ts'
import type { CommandSpec } from '../command/spec.ts'
import { mergeOf } from '../command/split-commands.ts'
import type { Config } from '../config/config.ts'
import type { CommandView } from '../resp/command-view.ts'
import type { ExplainedKey } from './explain.ts'
import type { Plan } from './plan.ts'
import { isFunctionCall } from './plan-script.ts'
import type { Route } from './route.ts'
import type { RouteTable } from './route-table.ts'
import { isUnread, nameOfFunction } from './script-id.ts'
import { flushesOwnKeys, isServerWide, refuseServerWide } from './server-wide.ts'
import { listeningsOf, type SubscriptionKind } from './subscriptions.ts'

/** Why the command is answered with an error, beside what its handling says; null: it is not. */
export function refusalOf(table: RouteTable, spec: CommandSpec | null, plan: Plan): string | null {
  if (spec === null) return plan.refusal
  // What KEYS and its like cannot do inside MULTI they can do outside of it.
  if (spec.handling === 'keyspace') return null
  if (plan.refusal !== null && mergeOf(spec.name) !== null) return null
  if (flushesOwnKeys(table, spec)) return plan.refusal
  return plan.refusal ?? (isServerWide(spec) ? refuseServerWide(table, spec) : null)
}

/** What there is to know beside keys, mirroring and comparison; whole sentences. */
export function notesOf(
  config: Config,
  table: RouteTable,
  spec: CommandSpec | null,
  view: CommandView,
  plan: Plan,
  keys: readonly ExplainedKey[],
): string[] {
  if (spec === null) return []
  return [
    ...arityNotes(spec, view),
    ...placeNotes(spec, plan.route, keys),
    ...takenNotes(table, keys),
    ...splitNotes(spec, plan, keys),
    ...slotNotes(config, table, spec, keys),
    ...keyspaceNotes(table, spec),
    ...elementNotes(spec, plan),
    ...channelNotes(table, spec, view),
    ...replyNotes(spec, keys),
    ...scriptNotes(spec, plan),
  ]
}

function scriptNotes(spec: CommandSpec, { doubt, unread, awaitsFunctions, route }: Plan): string[] {
  const store = `store '${route.primary.storeName}'`
  if (awaitsFunctions)
    return [`${store} could not be asked what the function does: whether it is refused depends on its library there`]
  if (unread && isFunctionCall(spec)) return [`${store} has no such function: it is answered with an error`]
  if (doubt === null) return []
  if (isUnread(doubt))
    return [
      `${store} does not let its functions be read (FUNCTION LIST): what this one does is not known, and it counts as one that uses keys which it does not declare`,
    ]
  const sort = nameOfFunction(doubt) === null ? 'script' : 'function'
  return [`the ${sort} uses keys which it does not declare: they keep the names that it makes`]
}

/** As Redis counts: with the command's name; a negative arity is the least. */
function arityNotes({ arity }: CommandSpec, { argc }: CommandView): string[] {
  if (arity >= 0 ? argc === arity : argc >= -arity) return []
  const wanted = arity >= 0 ? `${arity - 1}` : `at least ${-arity - 1}`
  return [`has ${argc - 1} arguments and takes ${wanted}: it is answered with an error`]
}

function placeNotes(spec: CommandSpec, route: Route, keys: readonly ExplainedKey[]): string[] {
  const list: string[] = []
  if (keys.length === 0 && spec.handling === 'forward') {
    list.push(`names no key: it goes to store '${route.primary.storeName}', the primary of route '${route.name}'`)
  }
  if (route.readsShadow && spec.readonly && keys.length > 0) {
    list.push(
      `read-target: store '${route.shadow!.storeName}' answers, and '${route.primary.storeName}' when it misses, errs or is slow`,
    )
  }
  if (new Set(keys.map((key) => key.route)).size > 1) list.push('its keys belong to several routes')
  return list
}

/** A key under its own name, where a route gives that name to a key of its own. */
function takenNotes(table: RouteTable, keys: readonly ExplainedKey[]): string[] {
  return keys.flatMap(({ key, primary }) => {
    const name = Buffer.from(key)
    if (primary.key !== key || table.viewOf(table.stores.indexOf(primary.store)).nameOf(name, 0, name.length) !== null)
      return []
    return [
      `${key} is a name that a route gives its keys on store '${primary.store}': this command reaches that key, KEYS and SCAN hide it, and what is written to it is not mirrored back`,
    ]
  })
}

function splitNotes(spec: CommandSpec, plan: Plan, keys: readonly ExplainedKey[]): string[] {
  if (plan.refusal === null || mergeOf(spec.name) === null) return []
  const stores = [...new Set(keys.map(({ primary }) => primary.store))]
  return [`split over stores ${stores.join(' and ')}, and the replies merged; inside MULTI it is refused`]
}

/** Of each end that is a cluster: whether its keys share a slot under the names that they have there, also where the route does not use that end yet. */
function slotNotes(config: Config, table: RouteTable, spec: CommandSpec, keys: readonly ExplainedKey[]): string[] {
  if (keys.length < 2) return []
  const later = table.turned(new Set(table.routes.map(({ name }) => name)))
  return Object.values(config.stores).flatMap(({ name: store, kind }) => {
    if (kind !== 'cluster') return []
    const there = (of: RouteTable): Set<number> => slotsAt(of, store, keys)
    const [now, then] = [there(table).size, there(later).size]
    if (Math.max(now, then) < 2) return []
    const slots = `on the cluster '${store}' its keys lie in ${Math.max(now, then)} slots`
    if (mergeOf(spec.name) !== null)
      return [`${slots}: Understudy sends it slot by slot, and merges the replies; inside MULTI it is refused`]
    const when = now > 1 ? 'it is answered CROSSSLOT' : 'it is answered CROSSSLOT as soon as that is the primary'
    return [`${slots}, and ${when}: only names with the same {hash tag} are sure to share a slot`]
  })
}

/** Slots of the keys whose primary under the table is that store. */
function slotsAt(table: RouteTable, store: string, keys: readonly ExplainedKey[]): Set<number> {
  return new Set(
    keys.flatMap(({ key }) => {
      const name = Buffer.from(key)
      const { route, primary } = table.find(name, 0, name.length)
      return route.primary.storeName === store ? [slotOfKey(primary?.apply(name, 0, name.length) ?? name)] : []
    }),
  )
}

function keyspaceNotes(table: RouteTable, spec: CommandSpec): string[] {
  if (flushesOwnKeys(table, spec)) {
    return [
      'the application has a part of the store: its own keys are deleted one by one, which is not one moment; inside MULTI by a script, up to 100,000',
    ]
  }
  if (spec.handling !== 'keyspace' || spec.name.startsWith('PUBSUB ')) return []
  return table.primaryStores.map((store) => {
    const name = table.stores[store]
    if (table.viewOf(store).whole)
      return `asks store '${name}': every key there is the application's, under its own name`
    return spec.name === 'DBSIZE'
      ? `asks store '${name}': the application’s own keys are counted, by SCAN`
      : `asks store '${name}': keys get the application's names, and what is not its own is hidden`
  })
}

function elementNotes({ handling }: CommandSpec, { route, elsewhere }: Plan): string[] {
  if (handling !== 'elements' || route.cursorMarks.other === 0) return []
  if (elsewhere === null)
    return ['its cursors say which store gave them: a scan goes on where it began, over a switch, too']
  return route.shadow === null
    ? ['the cursor is of the store at the other end, which is not kept equal any more: the scan begins anew']
    : [
        `the cursor is of store '${route.shadow.storeName}', which is asked for the page; where it cannot answer, or the key differs there, the scan begins anew`,
      ]
}

function channelNotes(table: RouteTable, spec: CommandSpec, view: CommandView): string[] {
  const text = (i: number): Buffer => Buffer.from(view.buf.subarray(view.start[i]!, view.end[i]!))
  if (spec.handling === 'publish' && view.argc === 3) {
    const { rule, name } = table.channels.atPrimary(text(1))
    const shadow = table.channels.atShadow(text(1))
    const also = shadow === null ? '' : `, then at store '${shadow.route.shadow!.storeName}' on ${shadow.name}`
    return [`published at store '${rule.route.primary.storeName}' on ${name}${also}`]
  }
  if (spec.handling !== 'subscribe' || spec.name.includes('UNSUBSCRIBE')) return []
  const notes: string[] = []
  for (let i = 1; i < view.argc; i++) {
    const at = listeningsOf(table, spec.name.toLowerCase() as SubscriptionKind, text(i), () => 0)
    notes.push(
      `${text(i)}: listens to ${at.map(({ store, name }) => `${name} at '${table.stores[store]}'`).join(', ')}`,
    )
  }
  return notes
}

function replyNotes(spec: CommandSpec, keys: readonly ExplainedKey[]): string[] {
  const renamed = keys.some(({ key, primary }) => key !== primary.key)
  return renamed && repliesWithKeys(spec)
    ? ["keys in its reply, and in its errors, get the application's names back"]
    : []
}
