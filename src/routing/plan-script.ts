import { createHash } from 'node:crypto'
import { analyseScript } from '../command/script-analysis.ts'
import type { CommandSpec } from '../command/spec.ts'
import { CommandTable } from '../command/table.ts'
import type { CommandView } from '../resp/command-view.ts'
import type { Plan } from './plan.ts'
import type { RouteTable } from './route-table.ts'

/**
 * Scripts that make key names themselves, where keys have other names than the application's or lie on several stores: such a script reaches the wrong keys. It is
 * known by reading it (`command/script-analysis.ts`), so what has not been seen (EVALSHA of a script that was loaded before) passes. Functions are not looked at.
 *
 * `scripts` of the route decides. `refuse`: never. `copy`: while the store that answers knows the route's keys (of a script without keys: any key) by the application's names, the script does on it what it is
 * meant to do, and is reported once; under other names it would read and write the wrong keys, a neighbour's maybe, and is refused. `warn`: reported once.
 */
export function planScript(table: RouteTable, spec: CommandSpec, view: CommandView, plan: Plan): void {
  const source = SOURCE_AT[spec.name]
  if (source === undefined || source >= view.argc) return
  const text = view.buf.toString('latin1', view.start[source]!, view.end[source]!)
  const script = spec.name.startsWith('EVALSHA') ? seen.get(text.toLowerCase()) : learn(text)
  const { name, config } = plan.route
  const astray = plan.positions.count > 0 ? plan.renames : table.primaryRenames
  if (script === undefined) {
    const matters = config.scripts === 'refuse' || (config.scripts === 'copy' && astray)
    plan.unread = matters && /^[0-9a-f]{40}$/i.test(text) && countsKeys(view, plan)
    return
  }
  if (spec.name === 'SCRIPT LOAD') return
  if (script.declaresKeys) return planNeighbours(table, script, plan)
  if (config.scripts === 'warn' || (config.scripts === 'copy' && !astray)) plan.doubt = script.sha
  else
    plan.refusal ??=
      'ERR Understudy refuses this script: it uses keys which it does not declare as KEYS, and keys have other names at the store. ' +
      `Declare them, or set "scripts" of route '${name}' to ${astray ? 'warn if they are none of those' : 'warn or copy'}`
}

/**
 * A script whose keys are all declared may still see or reach what is not the application's: by KEYS, SCAN, RANDOMKEY or DBSIZE, where the store holds more than its keys, and by publishing
 * to a channel that has another name. The same rules as above.
 */
function planNeighbours(table: RouteTable, script: Seen, plan: Plan): void {
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
  if (config.scripts === 'warn' || (config.scripts === 'copy' && !astray)) plan.doubt = script.sha
  else
    plan.refusal ??=
      (seesOthers
        ? "ERR Understudy refuses this script: it asks by KEYS, SCAN, RANDOMKEY or DBSIZE for all keys, and not all of the store are the application's. Ask outside of the script"
        : 'ERR Understudy refuses this script: it publishes to a channel that has another name at the store. Publish outside of the script') +
      `, or set "scripts" of route '${name}' to ${astray ? 'warn' : 'warn or copy'}`
}

/** Whether the reply of the script, function or script of unknown source that `view` calls may hold names of its keys. */
export function mayTellNames(spec: CommandSpec, view: CommandView): boolean {
  if (spec.name === 'FCALL' || spec.name === 'FCALL_RO') return true
  const source = SOURCE_AT[spec.name]
  if (source === undefined || spec.name === 'SCRIPT LOAD' || source >= view.argc) return false
  const text = view.buf.toString('latin1', view.start[source]!, view.end[source]!)
  const script = spec.name.startsWith('EVALSHA') ? seen.get(text.toLowerCase()) : learn(text)
  return script?.tellsNames ?? true
}

/** The number of keys is right: otherwise the server has something else to say. */
function countsKeys(view: CommandView, plan: Plan): boolean {
  return plan.positions.count > 0 || view.buf.toString('latin1', view.start[2], view.end[2]) === '0'
}

const SOURCE_AT: Readonly<Record<string, number>> = {
  EVAL: 1,
  EVAL_RO: 1,
  EVALSHA: 1,
  EVALSHA_RO: 1,
  'SCRIPT LOAD': 2,
}

interface Seen {
  readonly sha: string
  readonly declaresKeys: boolean
  readonly tellsNames: boolean
  readonly asksForAllKeys: boolean
  readonly publishesTo: readonly (string | null)[]
}

/** By SHA-1 and by source: the same objects. The oldest go first. */
const seen = new Map<string, Seen>()
const bySource = new Map<string, Seen>()
const MAX_SCRIPTS = 1_000
const MAX_SOURCE_CHARACTERS = 64 * 1024
const commands = CommandTable.builtin()

function learn(source: string): Seen {
  const learnt = bySource.get(source)
  if (learnt !== undefined) return learnt
  const sha = createHash('sha1').update(source, 'latin1').digest('hex')
  const known = seen.get(sha) ?? analyseScript(source, commands)
  const { declaresKeys, tellsNames, asksForAllKeys, publishesTo } = known
  const script = { sha, declaresKeys, tellsNames, asksForAllKeys, publishesTo }
  seen.set(sha, script)
  if (seen.size > MAX_SCRIPTS) seen.delete(seen.keys().next().value!)
  if (source.length <= MAX_SOURCE_CHARACTERS) bySource.set(source, script)
  if (bySource.size > MAX_SCRIPTS) bySource.delete(bySource.keys().next().value!)
  return script
}
