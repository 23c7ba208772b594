import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import { encodeCommand } from '../resp/encode.ts'
import { Glob } from './glob.ts'
import { commonPattern, storePatterns } from './keyspace-patterns.ts'
import { ownKeysInMulti } from './own-keys-in-multi.ts'
import type { FormerTables, Plan } from './plan.ts'
import type { RouteTable } from './route-table.ts'
import { parseCursor, type ScanCursor } from './scan-cursor.ts'

/**
 * KEYS, SCAN, RANDOMKEY and DBSIZE: commands about all keys there are. Their handling is `keyspace`.
 *
 * What the application sees is the sum of what the stores of `primaryStores` show (`KeyspaceView`).
 */

/** SCAN cursor [MATCH pattern] [COUNT n] [TYPE type], in any order; of several the last counts. */
export interface ScanRequest {
  readonly cursor: ScanCursor
  readonly glob: Glob | null
  /** COUNT and TYPE as sent. */
  readonly options: readonly Buffer[]
}

/** Null: the server is to say what is wrong with it. `'cursor'`: it has no cursor. */
export function readScan(view: CommandView): ScanRequest | 'cursor' | null {
  const args = argumentsOf(view)
  const cursor = args[1] === undefined ? null : parseCursor(args[1].toString('latin1'))
  if (cursor === null) return 'cursor'
  let glob: Glob | null = null
  const options: Buffer[] = []
  for (let i = 2; i < args.length; i += 2) {
    const [word, value] = [args[i]!.toString('latin1').toUpperCase(), args[i + 1]]
    if (value === undefined) return null
    if (word === 'MATCH') glob = new Glob(value)
    else if (word === 'COUNT' || word === 'TYPE') options.push(args[i]!, value)
    else return null
  }
  return { cursor, glob, options }
}

/** The page of a scan at one store; `cursor` is that store's own. */
export function scanFrame(table: RouteTable, store: number, request: ScanRequest, cursor: bigint): Buffer {
  const { glob, options } = request
  const patterns = glob === null ? [] : storePatterns(glob, table.rules, (rule) => table.isOn(rule, store))
  const match = patterns.length === 0 ? [] : ['MATCH', commonPattern(patterns)]
  return encodeCommand(['SCAN', String(cursor), ...match, ...options])
}

/** What gives every name at that store whose application's name KEYS' argument may match; see `storePatterns`. */
export function keysFrames(table: RouteTable, store: number, glob: Glob): Buffer[] {
  return storePatterns(glob, table.rules, (rule) => table.isOn(rule, store)).map((pattern) =>
    encodeCommand(['KEYS', pattern]),
  )
}

/** The application's name of a key that came from a store; null: hidden, or not what `glob` asks for. */
export function applicationName(table: RouteTable, store: number, glob: Glob | null): (name: Buffer) => Buffer | null {
  const view = table.viewOf(store)
  return (name) => {
    const key = view.nameOf(name, 0, name.length)
    return key === null || glob?.matches(key) === false ? null : key
  }
}

/**
 * Plans one inside MULTI, where it is one command with one reply: at one store, in one go. Also says, for commands outside of MULTI, which routes they touch: all.
 */
export function planKeyspace(table: RouteTable, spec: CommandSpec, view: CommandView, plan: Plan): void {
  plan.positions.reset()
  if (table.routes.length > 1) {
    plan.others = table.routes.filter((route) => route !== table.fallback).map((route) => route.state)
  }
  if (spec.name.startsWith('PUBSUB ')) {
    if (table.channels.rules.length > 0 && spec.name !== 'PUBSUB NUMPAT') plan.refusal = PUBSUB_IN_MULTI
    return
  }
  // Its number of arguments is wrong, which is the server's to say.
  if (spec.arity >= 0 ? view.argc !== spec.arity : view.argc < -spec.arity) return
  if (table.scanView === 0) return
  const request = spec.name === 'SCAN' ? readScan(view) : null
  // So is what is wrong with its words.
  if (spec.name === 'SCAN' && request === null) return
  if (table.primaryStores.length > 1) {
    plan.refusal = `CROSSROUTE ${spec.name} inside MULTI needs all keys on one store, and they are on ${table.primaryStores.map((store) => `'${table.stores[store]}'`).join(', ')}. Send it outside of MULTI`
    return
  }
  const { whole } = table.viewOf(table.fallback.primary.store)
  if (request === null) plan.renames = !whole
  // One that is no number is the server's to refuse.
  else if (request === 'cursor') {
    if (/^\d+$/.test(textOf(view, 1))) plan.refusal = 'ERR invalid cursor'
  } else {
    plan.renames = true
    if (scanTable(table, request, plan.formerTables) === null) plan.refusal = SCAN_IN_MULTI
  }
}

/** The table that a SCAN inside MULTI goes on under: that of its beginning; null: not known any more, or its keys are at another store. */
export function scanTable(table: RouteTable, { cursor }: ScanRequest, former: FormerTables | null): RouteTable | null {
  const begins = cursor.view === 0 && cursor.cursor === 0n
  const found = begins || cursor.view === table.scanView ? table : former?.get(cursor.view, table)
  const store = found?.primaryStores[cursor.store]
  return found !== undefined && store === table.fallback.primary.store ? found : null
}

/** The command as its one store gets it inside MULTI. Call when `plan.renames`. */
export function rewriteKeyspaceCommand(table: RouteTable, spec: CommandSpec, view: CommandView, plan: Plan): Buffer {
  const { store } = table.fallback.primary
  if (spec.name === 'SCAN') {
    const request = readScan(view) as ScanRequest
    const under = scanTable(table, request, plan.formerTables) ?? table
    return scanFrame(under, store, request, request.cursor.cursor)
  }
  if (spec.name !== 'KEYS') return ownKeysInMulti(table, spec, view)
  const glob = globOf(spec, view)!
  return encodeCommand(['KEYS', commonPattern(storePatterns(glob, table.rules, (rule) => table.isOn(rule, store)))])
}

/** The pattern of a KEYS or SCAN; null: none. */
export function globOf(spec: CommandSpec, view: CommandView): Glob | null {
  if (spec.name === 'KEYS') return new Glob(argumentsOf(view)[1]!)
  const request = spec.name === 'SCAN' ? readScan(view) : null
  return request === null || request === 'cursor' ? null : request.glob
}

function textOf(view: CommandView, i: number): string {
  return i < view.argc ? view.buf.toString('latin1', view.start[i]!, view.end[i]!) : ''
}

function argumentsOf(view: CommandView): Buffer[] {
  const args: Buffer[] = []
  for (let i = 0; i < view.argc; i++) args.push(Buffer.from(view.buf.subarray(view.start[i]!, view.end[i]!)))
  return args
}

const PUBSUB_IN_MULTI =
  'ERR Understudy does not support PUBSUB inside MULTI while channels have other names at the stores. Send it outside of MULTI'
const SCAN_IN_MULTI =
  'ERR Understudy: this SCAN goes on where it began, which is not where the keys of a transaction are now. Send it outside of MULTI'
