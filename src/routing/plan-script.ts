import { createHash } from 'node:crypto'
import { analyseScript } from '../command/script-analysis.ts'
import type { CommandSpec } from '../command/spec.ts'
import { CommandTable } from '../command/table.ts'
import type { CommandView } from '../resp/command-view.ts'
import type { Plan } from './plan.ts'

/**
 * Scripts that make key names themselves, where keys have other names than the application's or lie on several stores: such a script reaches the wrong keys. It is
 * known by reading it (`command/script-analysis.ts`), so what has not been seen (EVALSHA of a script that was loaded before) passes. Functions are not looked at.
 *
 * `scripts` of the route decides: `refuse`, or pass and be reported once (`warn`, `copy`).
 */
export function planScript(spec: CommandSpec, view: CommandView, plan: Plan): void {
  const source = SOURCE_AT[spec.name]
  if (source === undefined || source >= view.argc) return
  const text = view.buf.toString('latin1', view.start[source]!, view.end[source]!)
  const script = spec.name.startsWith('EVALSHA') ? seen.get(text.toLowerCase()) : learn(text)
  if (script === undefined || script.declaresKeys || spec.name === 'SCRIPT LOAD') return
  const { name, config } = plan.route
  if (config.scripts !== 'refuse') plan.doubt = script.sha
  else
    plan.refusal ??=
      'ERR Understudy refuses this script: it uses keys which it does not declare as KEYS, and keys have other names at the store. ' +
      `Declare them, or set "scripts" of route '${name}' to warn or copy`
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
}

/** By SHA-1 and by source: the same objects. The oldest go first. */
const seen = new Map<string, Seen>()
const bySource = new Map<string, Seen>()
const MAX_SCRIPTS = 1_000
const MAX_SOURCE_CHARACTERS = 64 * 1024
const commands = CommandTable.builtin()

function learn(source: string): Seen {
  const known = bySource.get(source)
  if (known !== undefined) return known
  const sha = createHash('sha1').update(source, 'latin1').digest('hex')
  const script = { sha, declaresKeys: seen.get(sha)?.declaresKeys ?? analyseScript(source, commands).declaresKeys }
  seen.set(sha, script)
  if (seen.size > MAX_SCRIPTS) seen.delete(seen.keys().next().value!)
  if (source.length <= MAX_SOURCE_CHARACTERS) bySource.set(source, script)
  if (bySource.size > MAX_SCRIPTS) bySource.delete(bySource.keys().next().value!)
  return script
}
