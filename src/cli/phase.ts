import { Argument, type Command } from 'commander'
import type { PhaseRequest, PhaseResult, PhasesResult } from '../admin/control.ts'
import { UnderstudyError } from '../base/errors.ts'
import { PHASES, type Phase } from '../config/config.ts'
import type { GateView } from '../cutover/gates.ts'
import { type AdminOptions, adminClient, type JsonOption, jsonOption, withAdminOptions } from './admin-options.ts'
import { EXIT } from './exit-code.ts'
import { formatMs } from './format.ts'
import { phaseResultOf, phasesResultOf } from './older-answers.ts'
import { printable, type Terminal } from './terminal.ts'

/** A switch waits for the backlog; the sidecar calls it off long before this. */
const SWITCH_TIMEOUT_MS = 10 * 60_000

interface PhaseOptions extends AdminOptions, JsonOption {
  readonly dryRun?: boolean
  readonly force?: boolean
  readonly reason?: string
}

/** `understudy phase`: changes the phase of a route, or of several, in the configuration file of the running sidecar, and waits until it is in force. */
export function addPhase(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  withAdminOptions(program.command('phase'))
    .description("change a route's phase in the configuration file (comments kept) and wait until it is in force")
    .argument('<route>', 'name of the route; several, separated by commas, change at the same moment')
    .addArgument(new Argument('<phase>', 'the phase it is to have').choices(PHASES))
    .option('--dry-run', 'say what would happen, change nothing; exit code 1 when a gate is closed')
    .option('--force', 'switch although gates are closed; needs --reason')
    .option('--reason <text>', 'why it is forced; written to the log')
    .addOption(jsonOption())
    .action(async (route: string, phase: Phase, options: PhaseOptions) => {
      const { dryRun, force, reason, json } = options
      if (force && !reason?.trim()) throw new UnderstudyError('USAGE', '--force needs --reason TEXT')
      const request: PhaseRequest = {
        phase,
        ...(dryRun ? { dryRun } : {}),
        ...(force ? { force } : {}),
        ...(reason === undefined ? {} : { reason }),
      }
      const admin = adminClient(options)
      const routes = route.split(',')
      const answer =
        routes.length > 1
          ? await admin.put<unknown>('/api/v1/phase', { ...request, routes }, SWITCH_TIMEOUT_MS)
          : await admin.put<unknown>(`/api/v1/routes/${encodeURIComponent(route)}/phase`, request, SWITCH_TIMEOUT_MS)
      const result = routes.length > 1 ? phasesResultOf(answer) : ofOne(phaseResultOf(answer))
      if (json) terminal.json(answer)
      else for (const line of resultLines(result, force ?? false)) terminal.line(line)
      finish(result.closedGates.length > 0 ? EXIT.no : EXIT.done)
    })
}

function ofOne({ route, from, to, consequences, ...taken }: PhaseResult): PhasesResult {
  return { routes: [{ route, from, to, consequences }], ...taken }
}

function resultLines({ routes, dryRun, pauseMs, closedGates, gates }: PhasesResult, force: boolean): string[] {
  const pause = pauseMs === null ? '' : `, commands held for ${formatMs(pauseMs)}`
  const named = (gate: GateView) => (routes.length === 1 ? gate.reason : `${gate.route}: ${gate.reason}`)
  const reasons = (open: boolean) => gates.filter((gate) => gate.open === open).map(named)
  return [
    ...routes.flatMap(({ route, from, to, consequences }) => {
      const head = from === to ? `${route} stays in ${to}` : `${route}: ${from} -> ${to}${pause}`
      return [
        `${head}${dryRun ? ' (dry run, nothing changed)' : ''}`,
        ...consequences.map((consequence) => `  ${consequence}`),
      ]
    }),
    ...listed('Open gates:', dryRun ? reasons(true) : []),
    ...listed(
      dryRun ? 'Closed gates that would be forced:' : 'Closed gates that were forced:',
      force ? reasons(false) : [],
    ),
    ...listed('Closed gates:', closedGates),
  ].map(printable)
}

function listed(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines.map((line) => `  ${line}`)]
}
