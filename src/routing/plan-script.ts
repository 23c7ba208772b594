import { createHash } from 'node:crypto'
import { analyseScript } from '../command/scripts/script-analysis.ts'
import { type ScriptFacts, UNREADABLE } from '../command/scripts/script-facts.ts'
import type { CommandSpec } from '../command/spec.ts'
import { CommandTable } from '../command/table.ts'
import type { CommandView } from '../resp/command-view.ts'
import type { Plan } from './plan.ts'
import type { RouteTable } from './route-table.ts'
import { idOfFunction, idOfUnread, isUnread } from './script-id.ts'

/**
 * Scripts and functions that make key names themselves, where keys have other names than the application's or lie on several stores: such a script reaches the wrong keys. It is
 * known by reading it (`command/scripts/script-analysis.ts`, `command/scripts/library-analysis.ts`), so a script that has not been seen (EVALSHA of one that was loaded before) passes, or is asked for; of a function the store has the source.
 *
 * `scripts` of the route decides. `refuse`: never. `copy`: while the store that answers knows the route's keys (of a script without keys: any key) by the application's names, the script does on it what it is
 * meant to do, and is reported once; under other names it would read and write the wrong keys, a neighbour's maybe, and is refused. `warn`: reported once. Reported only where nothing differs yet, and routes could be switched one by one.
 */
export function planScript(table: RouteTable, spec: CommandSpec, view: CommandView, plan: Plan): void {
  if (isFunctionCall(spec)) return planFunction(table, view, plan)
  const source = SOURCE_AT[spec.name]
  if (source === undefined || source >= view.argc) return
  const text = view.buf.toString('latin1', view.start[source]!, view.end[source]!)
  const script = spec.name.startsWith('EVALSHA') ? called(text, plan) : learn(text)
  if (script === undefined) {
    plan.unread = refusesMadeUpNames(table, plan) && /^[0-9a-f]{40}$/i.test(text) && countsKeys(view, plan)
    return
  }
  if (spec.name === 'SCRIPT LOAD') return
  judge(table, script, plan)
}

function planFunction(table: RouteTable, view: CommandView, plan: Plan): void {
  if (plan.functions === null || !countsKeys(view, plan)) return
  const name = nameIn(view)
  const found = plan.functions.find(plan.route.primary.storeName, name)
  if (found === 'unread') plan.awaitsFunctions = true
  else if (found === 'absent') plan.unread = refusesMadeUpNames(table, plan)
  else if (found === 'unreadable') judge(table, { ...UNREADABLE, sort: 'function', id: idOfUnread(name) }, plan)
  else {
    found.calledFor.add(plan.route.name)
    judge(table, { ...found.facts, sort: 'function', id: idOfFunction(name) }, plan)
  }
}

/** It is known what the script does. */
function judge(table: RouteTable, script: Judged, plan: Plan): void {
  if (script.declaresKeys) return planNeighbours(table, script, plan)
  const { name, config } = plan.route
  const astray = goesAstray(table, plan)
  if (isOneKeyspace(table) || config.scripts === 'warn' || (config.scripts === 'copy' && !astray))
    plan.doubt = script.id
  else
    plan.refusal ??=
      `ERR Understudy refuses this ${script.sort}: ${reasonIn(script, plan.route.primary.storeName)}, ` +
      `or set "scripts" of route '${name}' to ${astray ? 'warn if they are none of those' : 'warn or copy'}`
}

/** With what to do about it. */
function reasonIn({ sort, id }: Judged, store: string): string {
  if (isUnread(id))
    return `store '${store}' does not let it be read, and keys have other names there. Give Understudy's user there the right to FUNCTION LIST`
  const undeclared = `it uses keys which it does not declare${sort === 'script' ? ' as KEYS' : ', or cannot be read'}`
  return `${undeclared}, and keys have other names at the store. Declare them`
}

/** A script that makes names would be refused here. */
export function refusesMadeUpNames(table: RouteTable, plan: Plan): boolean {
  const { scripts } = plan.route.config
  if (isOneKeyspace(table)) return false
  return scripts === 'refuse' || (scripts === 'copy' && goesAstray(table, plan))
}

/** Whatever a script makes up is where it looks for it: until routes have several primaries. */
function isOneKeyspace({ namesDiffer, channels }: RouteTable): boolean {
  return !namesDiffer && channels.rules.length === 0
}

/** Names that a script makes are not those of the keys at the store. */
function goesAstray(table: RouteTable, plan: Plan): boolean {
  return plan.positions.count > 0 ? plan.renames : table.primaryRenames
}

/**
 * A script whose keys are all declared may still see or reach what is not the application's: by KEYS, SCAN, RANDOMKEY or DBSIZE, where the store holds more than its keys, and by publishing
 * to a channel that has another name. The same rules as above.
 */
function planNeighbours(table: RouteTable, script: Judged, plan: Plan): void {
  const { name, config } = plan.route
  const seesOthers = script.asksForAllKeys && !table.viewOf(plan.route.primary.store).whole
  const rules = script.publishesTo.flatMap((channel) => {
    if (channel === null) return table.channels.rules
    const bytes = Buffer.from(channel, 'latin1')
    return [table.channels.find(bytes, 0, bytes.length)]
  })
  const speaksAstray = rules.some((rule) => rule.primary !== null)
  const speaksHalf = rules.some((rule) => rule.shadow !== null)
  if (!seesOthers && !speaksAstray && !speaksHalf) return
  const astray = speaksAstray || (seesOthers && table.primaryRenames)
  if (config.scripts === 'warn' || (config.scripts === 'copy' && !astray)) plan.doubt = script.id
  else
    plan.refusal ??=
      (seesOthers
        ? `ERR Understudy refuses this ${script.sort}: it asks by KEYS, SCAN, RANDOMKEY or DBSIZE for all keys, and not all of the store are the application's. Ask outside of the ${script.sort}`
        : `ERR Understudy refuses this ${script.sort}: it publishes to a channel that has another name at the store. Publish outside of the ${script.sort}`) +
      `, or set "scripts" of route '${name}' to ${astray ? 'warn' : 'warn or copy'}`
}

/** Whether the reply of the script, function or script of unknown source that `view` calls may hold names of its keys. `store`: that has answered it. */
export function mayTellNames(
  spec: CommandSpec,
  view: CommandView,
  functions: Functions | null,
  store: string,
): boolean {
  if (isFunctionCall(spec)) {
    const found = functions?.find(store, nameIn(view))
    return typeof found === 'object' ? found.facts.tellsNames : true
  }
  const source = SOURCE_AT[spec.name]
  if (source === undefined || spec.name === 'SCRIPT LOAD' || source >= view.argc) return false
  const text = view.buf.toString('latin1', view.start[source]!, view.end[source]!)
  const script = spec.name.startsWith('EVALSHA') ? seen.get(text.toLowerCase()) : learn(text)
  return script?.tellsNames ?? true
}

/** FCALL or FCALL_RO. */
export function isFunctionCall({ name }: CommandSpec): boolean {
  return name === 'FCALL' || name === 'FCALL_RO'
}

/** Of a call of a function with at least two words. */
export function nameIn({ buf, start, end }: CommandView): string {
  return buf.toString('latin1', start[1]!, end[1]!)
}

/** What is known of the functions that stores have. */
export interface Functions {
  find(store: string, name: string): FoundFunction<KnownFunction>
}

export interface KnownFunction {
  /** The server sees to it that it writes nothing. */
  readonly readOnly: boolean
  readonly facts: ScriptFacts
  /** Names of routes for whose keys it was called. */
  readonly calledFor: Set<string>
}

/** `unread`: the store is being asked. `absent`: it has none of that name. `unreadable`: it does not tell. */
export type FoundFunction<Known> = Known | 'unread' | 'absent' | 'unreadable'

/** The number of keys is right: otherwise the server has something else to say. */
function countsKeys(view: CommandView, plan: Plan): boolean {
  if (plan.positions.count > 0) return true
  return view.argc > 2 && view.buf.toString('latin1', view.start[2], view.end[2]) === '0'
}

/** For a call that cannot wait until the store has told its functions. */
export const FUNCTIONS_UNREAD =
  'ERR Understudy has not read the functions of the store yet, and keys have other names there; try again'

/** For a call behind a change of functions in one transaction. */
export const FUNCTIONS_CHANGING =
  'ERR Understudy cannot tell what a function does whose library may be changed in the same transaction, and keys have other names at the store; change functions ahead of MULTI'

const SOURCE_AT: Readonly<Record<string, number>> = {
  EVAL: 1,
  EVAL_RO: 1,
  EVALSHA: 1,
  EVALSHA_RO: 1,
  'SCRIPT LOAD': 2,
}

interface Judged extends Pick<ScriptFacts, 'declaresKeys' | 'asksForAllKeys' | 'publishesTo'> {
  readonly sort: 'script' | 'function'
  /** As `Plan.doubt` says. */
  readonly id: string
}

type Seen = Judged & Pick<ScriptFacts, 'tellsNames'>

/** By SHA-1 and by source: the same objects. The oldest go first. */
const seen = new Map<string, Seen>()
const bySource = new Map<string, Seen>()
const MAX_SCRIPTS = 1_000
const MAX_SOURCE_CHARACTERS = 64 * 1024
const commands = CommandTable.builtin()

/** By its SHA-1: read by now, if its source passed when it did not matter which keys it uses. */
function called(sha: string, { scripts }: Plan): Seen | undefined {
  const found = seen.get(sha.toLowerCase())
  if (found !== undefined) return found
  const script = scripts?.bySha(sha)
  return script === undefined ? undefined : learn(script.source.toString('latin1'))
}

function learn(source: string): Seen {
  const learnt = bySource.get(source)
  if (learnt !== undefined) return learnt
  const sha = createHash('sha1').update(source, 'latin1').digest('hex')
  const known = seen.get(sha) ?? analyseScript(source, commands)
  const { declaresKeys, tellsNames, asksForAllKeys, publishesTo } = known
  const script: Seen = { sort: 'script', id: sha, declaresKeys, tellsNames, asksForAllKeys, publishesTo }
  seen.set(sha, script)
  if (seen.size > MAX_SCRIPTS) seen.delete(seen.keys().next().value!)
  if (source.length <= MAX_SOURCE_CHARACTERS) bySource.set(source, script)
  if (bySource.size > MAX_SCRIPTS) bySource.delete(bySource.keys().next().value!)
  return script
}
