import { Argument, type Command } from 'commander'
import type { PhaseRequest, PhaseResult } from '../admin/control.ts'
import { UnderstudyError } from '../base/errors.ts'
import { PHASES, type Phase } from '../config/config.ts'
import { type AdminOptions, adminClient, type JsonOption, jsonOption, withAdminOptions } from './admin-options.ts'
import { EXIT } from './exit-code.ts'
import { formatMs } from './format.ts'
import { phaseResultOf } from './older-answers.ts'
import { printable, type Terminal } from './terminal.ts'

/** A switch waits for the backlog; the sidecar calls it off long before this. */
const SWITCH_TIMEOUT_MS = 10 * 60_000

interface PhaseOptions extends AdminOptions, JsonOption {
  readonly dryRun?: boolean
  readonly force?: boolean
  readonly reason?: string
}

/** `understudy phase`: changes a route's phase in the configuration file of the running sidecar, and waits until it is in force. */
export function addPhase(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  withAdminOptions(program.command('phase'))
    .description("change a route's phase in the configuration file (comments kept) and wait until it is in force")
    .argument('<route>', 'name of the route')
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
      const path = `/api/v1/routes/${encodeURIComponent(route)}/phase`
      const answer = await adminClient(options).put<unknown>(path, request, SWITCH_TIMEOUT_MS)
      const result = phaseResultOf(answer)
      if (json) terminal.json(answer)
      else for (const line of resultLines(result, force ?? false)) terminal.line(line)
      finish(result.closedGates.length > 0 ? EXIT.no : EXIT.done)
    })
}

function resultLines(result: PhaseResult, force: boolean): string[] {
  const { route, from, to, dryRun, pauseMs, consequences, closedGates, gates } = result
  const pause = pauseMs === null ? '' : `, commands held for ${formatMs(pauseMs)}`
  const reasons = (open: boolean) => gates.filter((gate) => gate.open === open).map((gate) => gate.reason)
  const head = from === to ? `${route} stays in ${to}` : `${route}: ${from} -> ${to}${pause}`
  return [
    `${head}${dryRun ? ' (dry run, nothing changed)' : ''}`,
    ...consequences.map((consequence) => `  ${consequence}`),
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
