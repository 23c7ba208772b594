import { effectSummary } from '../command/effect-summaries.ts'
import { handlingRowOf } from '../command/handling.ts'
import { findKeys, KeyPositions } from '../command/keys.ts'
import { asRead } from '../command/scripts/read-only-script.ts'
import { analyseScript } from '../command/scripts/script-analysis.ts'
import type { ScriptFacts } from '../command/scripts/script-facts.ts'
import type { CommandSpec } from '../command/spec.ts'
import { CommandTable } from '../command/table.ts'
import type { Config } from '../config/config.ts'
import { type CommandView, viewOf } from '../resp/command-view.ts'
import { notesOf, refusalOf } from './explain-notes.ts'
import { Plan, planCommand } from './plan.ts'
import { type Functions, nameIn } from './plan-script.ts'
import { isSampled, type Route } from './route.ts'
import { RouteTable } from './route-table.ts'

/** What `understudy explain` shows of one command. Plain JSON. */
export interface Explanation {
  readonly command: string
  /** False: neither the server nor the built-in table knows it. */
  readonly known: boolean
  readonly handling: string
  readonly keys: readonly ExplainedKey[]
  readonly mirrored: string
  readonly compared: string
  /** Why it is answered with an error; null: it is not. */
  readonly refused: string | null
  readonly notes: readonly string[]
}

export interface ExplainedKey {
  readonly key: string
  readonly route: string
  readonly primary: { readonly store: string; readonly key: string }
  readonly shadow: { readonly store: string; readonly key: string } | null
}

const HANDLING: Readonly<Record<CommandSpec['handling'], string>> = {
  forward: 'goes down the shared connection of the primary',
  session: 'is answered by Understudy itself',
  transaction: 'down the shared connection when MULTI ... EXEC arrives whole; on a dedicated one otherwise',
  blocking:
    'waits at the primary on a dedicated connection; where much is waiting to be taken, the shared one is tried first',
  subscribe: 'gets a dedicated connection',
  takeover: 'gets a dedicated connection',
  beside: 'is sent beside the shared connection',
  mended: 'goes down the shared connection of the primary',
  keyspace: 'asks every store that is a primary, and shows the application its own keys',
  elements: 'goes down the shared connection of the primary, unless the scan began at the other end',
  publish: 'goes down the shared connection of the primary of its channel',
  replica:
    'gets a connection of its own as a pipe: a replica of the primary of the route *, under the names of that store',
  refuse: 'is refused',
}

/** The plan for one command under a configuration: the same decisions as the data path makes, none carried out. `functions`: those of the stores; null: nobody has asked them. */
export function explainCommand(
  config: Config,
  args: readonly string[],
  functions: Functions | null = null,
): Explanation {
  const commands = CommandTable.builtin()
  const table = new RouteTable(config, 0, Object.keys(config.stores), new Map())
  const view = viewOf(args.map((arg) => Buffer.from(arg)))
  const spec = commands.lookup(view) ?? null
  const plan = new Plan(null, functions)
  planCommand(table, spec, view, plan)
  const keys = spec === null ? [] : explainKeys(table, spec, view)
  const { route } = plan
  return {
    command: spec?.name ?? (args[0] ?? '').toUpperCase(),
    known: spec !== null,
    handling: spec === null ? 'is passed on as it is: the server knows whether it exists' : HANDLING[spec.handling],
    keys,
    mirrored: mirrored(spec, plan, keys, args, commands, table.scriptsMeanTheSame),
    compared: compared(treatedAs(spec, commands, view, plan), route, plan, view),
    refused: refusalOf(table, spec, plan) ?? (spec?.handling === 'refuse' ? handlingRowOf(spec.name)!.note : null),
    notes: notesOf(config, table, spec, view, plan, keys),
  }
}

function explainKeys(table: RouteTable, spec: CommandSpec, view: CommandView): ExplainedKey[] {
  const positions = new KeyPositions()
  findKeys(spec, view, positions)
  const keys: ExplainedKey[] = []
  for (let i = 0; i < positions.count; i++) {
    const arg = positions.index[i]!
    const from = view.start[arg]!
    const to = view.end[arg]!
    const rule = table.find(view.buf, from, to)
    const name = view.buf.toString('utf8', from, to)
    const { primary, shadow } = rule.route
    keys.push({
      key: name,
      route: rule.route.name,
      primary: { store: primary.storeName, key: rule.primary?.apply(view.buf, from, to)?.toString('utf8') ?? name },
      shadow:
        shadow === null
          ? null
          : { store: shadow.storeName, key: rule.shadow?.apply(view.buf, from, to)?.toString('utf8') ?? name },
    })
  }
  return keys
}

function mirrored(
  spec: CommandSpec | null,
  { route, functions }: Plan,
  keys: readonly ExplainedKey[],
  args: readonly string[],
  commands: CommandTable,
  sameNames: boolean,
): string {
  if (spec === null) return 'no: nothing is known of it'
  if (!spec.write) return 'no: it does not write'
  if (route.shadow === null && keys.every((key) => key.shadow === null))
    return `no: route '${route.name}' is in ${route.phase}`
  const names = {
    same: sameNames,
    renamed: keys.some((key) => key.shadow !== null && key.shadow.key !== key.primary.key),
  }
  if (spec.name === 'EVAL') return script('script', analyseScript(args[1] ?? '', commands), names)
  if (spec.name !== 'FCALL' || functions === null || args.length < 2) return effectSummary(spec.name)
  const found = functions.find(route.primary.storeName, args[1]!)
  if (found === 'absent') return `no: store '${route.primary.storeName}' has no such function`
  if (typeof found === 'string') return `its keys are copied: what the function does cannot be read`
  return script('function', found.facts, names)
}

/** The same distinctions as the effect of EVAL makes (`command/effects/server.ts`). */
function script(
  sort: 'script' | 'function',
  { writes, varies, variesByServer, declaresKeys, tellsNames }: ScriptFacts,
  names: { readonly same: boolean; readonly renamed: boolean },
): string {
  if (!writes) return `no: the ${sort} only reads`
  if (declaresKeys && varies !== null) return `its keys are copied: ${varies}`
  if (declaresKeys && tellsNames && names.renamed)
    return `its keys are copied: the ${sort} does more with their names than to reach them, and they have others there`
  if (declaresKeys && variesByServer)
    return `run again where both servers put down numbers and tables alike (both Redis before 7.2, both Redis since 7.2, or Valkey of one version)${sort === 'script' ? '' : ' and its library was loaded through Understudy'}; else its keys are copied`
  if (declaresKeys)
    return sort === 'script'
      ? 'run again: the script does the same anywhere'
      : 'run again where its library was loaded through Understudy, for the function does the same anywhere; else its keys are copied'
  const others = `the ${sort} uses keys that it does not declare`
  if (!names.same)
    return `its keys are copied, and what the primary tells of others; where it does not tell, the route needs a verify: ${others}`
  const again = `its keys are copied, and what the primary tells of others; where it does not tell, it is run again, in doubt: ${others}`
  return varies === null ? again : `${again}; and need not do the same there, for ${varies}`
}

/** As `sendPlanned` treats it. */
function treatedAs(
  spec: CommandSpec | null,
  commands: CommandTable,
  view: CommandView,
  { route, functions }: Plan,
): CommandSpec | null {
  if (spec?.name === 'EVAL') return asRead(commands, spec, view)
  if (spec?.name !== 'FCALL' || functions === null || view.argc < 2) return spec
  const found = functions.find(route.primary.storeName, nameIn(view))
  return typeof found === 'object' && found.readOnly ? (commands.byName('FCALL_RO') ?? spec) : spec
}

function compared(spec: CommandSpec | null, route: Route, plan: Plan, view: CommandView): string {
  if (spec === null || !spec.readonly) return 'no: it is not a read'
  const first = plan.positions.index[0]
  if (spec.compare === null || first === undefined || !plan.keyed || plan.positions.count === 0) {
    return 'no: it names no key to sample by'
  }
  if (spec.compare.kind === 'skipped') return `no: ${spec.compare.reason}`
  if (!route.samples) return `no: route '${route.name}' compares nothing now`
  const sampled = isSampled(route, plan.keyHash, view.buf, view.start[first]!, view.end[first]!)
  const share = `${route.config.compare.sample * 100} % of keys are sampled, and this key is ${sampled ? '' : 'not '}among them`
  return `${sampled ? `as ${spec.compare.kind}` : 'no'}: ${share}`
}
