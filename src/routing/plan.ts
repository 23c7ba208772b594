import { hashBytes } from '../base/hash.ts'
import { argumentCount } from '../command/argument.ts'
import { findKeys, KeyPositions, rewriteKeys } from '../command/keys.ts'
import { otherDatabase } from '../command/other-database.ts'
import type { ScriptBook } from '../command/scripts/script-book.ts'
import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import { pageForPrimary, planElementScan } from './element-scan.ts'
import { planKeyspace, rewriteKeyspaceCommand } from './keyspace-command.ts'
import { type Functions, planScript } from './plan-script.ts'
import { planPublish, publishFrame } from './publish.ts'
import type { Route, RouteState } from './route.ts'
import type { RouteTable } from './route-table.ts'
import { flushesOwnKeys, isOfFallback, isServerWide } from './server-wide.ts'
import { planPatterns, renamePattern } from './sort-patterns.ts'

/**
 * Where one command goes: filled by `planCommand`, reused for every command of a thread so that planning allocates nothing. Valid until the next
 * plan.
 */
export class Plan {
  route!: Route
  /** Where its keys are; only filled when `keyed`. */
  readonly positions: KeyPositions = new KeyPositions()
  keyed = false
  /** Hash of the first key; 0 when it was not needed. */
  keyHash = 0
  /** Keys have other names on the primary. */
  renames = false
  /** Other routes whose keys it touches (same primary); null: none. */
  others: RouteState[] | null = null
  /** Has no keys, and yet belongs to its route: by its channel, or because that is mirrored as a whole. */
  bound = false
  /** KEYS and its like, HSCAN and its like, PUBLISH or a FLUSHDB of a namespace, which is written anew for the store; null: any other. */
  special: CommandSpec | null = null
  /** Of a page of HSCAN and its like that goes on at the route's other end: the cursor there. The primary begins anew. Null: it is the primary's, or a scan begins. */
  elsewhere: string | null = null
  /** SHA-1 of a script, or `function NAME`, that makes key names itself, which is to be reported; null: none. */
  doubt: string | null = null
  /** EVALSHA of a script that has not been read, where it matters which keys it uses; or a function that the store does not have. */
  unread = false
  /** The store is being asked what the function does: to be planned again in a moment. */
  awaitsFunctions = false
  /** Null: nobody keeps them. */
  readonly functions: Functions | null
  /** The same of scripts. */
  readonly scripts: ScriptBook | null
  /** Tables that a SCAN may have begun under; null: none but the one in force. */
  readonly formerTables: FormerTables | null
  /** Several primaries: cannot be sent as one command. Its text for the client, without `-`; null when it can. */
  refusal: string | null = null

  constructor(
    formerTables: FormerTables | null = null,
    functions: Functions | null = null,
    scripts: ScriptBook | null = null,
  ) {
    this.formerTables = formerTables
    this.functions = functions
    this.scripts = scripts
  }
}

/** Route tables by their `scanView`. */
export interface FormerTables {
  get(view: number, current: RouteTable): RouteTable | undefined
}

/**
 * Decides the route of a command from its keys. Pure: nothing but `plan` is changed. `needsHash`: the caller samples or mirrors, so the first key's
 * hash is of use even where every key has the same route.
 */
export function planCommand(table: RouteTable, spec: CommandSpec | null, view: CommandView, plan: Plan): void {
  plan.keyed = false
  plan.keyHash = 0
  plan.renames = false
  plan.others = null
  plan.refusal = null
  plan.bound = false
  plan.special = null
  plan.elsewhere = null
  plan.doubt = null
  plan.unread = false
  plan.awaitsFunctions = false
  if (table.unserved.size > 0 && spec !== null && namesDatabases(spec)) {
    plan.refusal = refuseUnserved(table, spec, view)
    if (plan.refusal !== null) {
      plan.route = table.fallback
      return
    }
  }
  if (spec !== null && spec.handling !== 'forward' && planSpecial(table, spec, view, plan)) return
  const trivial = table.trivial
  if (trivial !== null) {
    plan.route = trivial
    if (spec === null || trivial.shadow === null) return
    findKeys(spec, view, plan.positions)
    plan.keyed = true
    if (plan.positions.count > 0) plan.keyHash = hashOf(view, plan.positions.index[0]!)
    return
  }
  plan.route = table.fallback
  if (spec === null) return
  const positions = plan.positions
  findKeys(spec, view, positions)
  plan.keyed = true
  for (let i = 0; i < positions.count; i++) {
    const arg = positions.index[i]!
    const rule = table.find(view.buf, view.start[arg]!, view.end[arg]!)
    if (rule.primary !== null) plan.renames = true
    if (i === 0) {
      plan.route = rule.route
      plan.keyHash = hashOf(view, arg)
    } else if (rule.route !== plan.route) {
      if (rule.route.primary.store !== plan.route.primary.store) {
        plan.refusal = crossRoute(plan.route, rule.route)
        return
      }
      plan.others ??= []
      if (!plan.others.includes(rule.route.state)) plan.others.push(rule.route.state)
    }
  }
  if (positions.patternCount > 0) planPatterns(table, view, plan)
  if (spec.firstKey === 0) {
    if (table.namesDiffer || table.mayPart || table.channels.rules.length > 0) planScript(table, spec, view, plan)
    // What it makes of names without declaring any is where it goes outside of MULTI.
    plan.bound = isOfFallback(spec) || (plan.doubt !== null && positions.count === 0)
  }
  if (positions.count === 0 && flushesOwnKeys(table, spec)) planOwnFlush(table, spec, plan)
  else if (plan.bound && isServerWide(spec)) plan.others = neighboursOf(table.fallback, table)
}

function namesDatabases(spec: CommandSpec): boolean {
  return spec.crossesDatabases || spec.name === 'SWAPDB'
}

/**
 * MOVE, COPY ... DB or SWAPDB with a database that no client can have: its error. They name databases by the numbers of the store, of which 0 is not the client's 0 either. Null: it may pass.
 */
function refuseUnserved({ unserved }: RouteTable, spec: CommandSpec, view: CommandView): string | null {
  const named =
    spec.name === 'SWAPDB' && view.argc === 3
      ? [argumentCount(view, 1), argumentCount(view, 2)]
      : [otherDatabase(spec, view)]
  const database = named.find((one) => one === 0 || unserved.has(one))
  if (database === undefined) return null
  const [why] = unserved.values()
  return `ERR Understudy refuses ${spec.name} with database ${database}: ${why}`
}

/** The command with its keys named as the primary knows them. Call when `plan.renames`. */
export function renameForPrimary(table: RouteTable, view: CommandView, plan: Plan): Buffer {
  if (plan.special?.handling === 'publish') return publishFrame(table.channels, view, 'primary')
  if (plan.special?.handling === 'elements') return pageForPrimary(table, view)
  if (plan.special !== null) return rewriteKeyspaceCommand(table, plan.special, view, plan)
  return rewriteKeys(
    view,
    plan.positions,
    (buf, from, to) => {
      const rename = table.find(buf, from, to).primary
      return rename === null ? null : rename.apply(buf, from, to)
    },
    (buf, from, to) => renamePattern(table, buf, from, to),
  )
}

/** As it is sent inside MULTI. It touches the keys of every route. */
function planOwnFlush(table: RouteTable, spec: CommandSpec, plan: Plan): void {
  plan.renames = true
  plan.special = spec
  plan.others = table.routes.filter((route) => route !== table.fallback).map((route) => route.state)
}

/** Of the other routes those whose keys are on its store as well. Null: there are none. */
function neighboursOf({ state, primary }: Route, { routes }: RouteTable): RouteState[] | null {
  const neighbours = routes.filter((route) => route.state !== state && route.primary.store === primary.store)
  return neighbours.length === 0 ? null : neighbours.map((route) => route.state)
}

/** What goes by other things than its keys alone. False: it goes by its keys. */
function planSpecial(table: RouteTable, spec: CommandSpec, view: CommandView, plan: Plan): boolean {
  if (spec.handling !== 'keyspace' && spec.handling !== 'publish' && spec.handling !== 'elements') return false
  plan.route = table.fallback
  if (spec.handling === 'elements') planElementScan(table, spec, view, plan)
  else if (spec.handling === 'keyspace') planKeyspace(table, spec, view, plan)
  else if (table.channels.rules.length > 0) planPublish(table.channels, view, plan)
  else plan.positions.reset()
  plan.special = plan.renames ? spec : null
  return true
}

function hashOf(view: CommandView, arg: number): number {
  return hashBytes(view.buf, view.start[arg]!, view.end[arg]!)
}

/** As Redis Cluster answers CROSSSLOT, with words that help. */
export function crossRoute(one: Route, other: Route): string {
  return (
    `CROSSROUTE Keys in request belong to routes with different primaries: '${one.name}' on store '${one.primary.storeName}', ` +
    `'${other.name}' on store '${other.primary.storeName}'. Send it for the keys of one store at a time, or switch the routes together ` +
    '(MGET, MSET, DEL, UNLINK, EXISTS and TOUCH are split, outside of MULTI)'
  )
}
