import type { Command } from 'commander'
import type { ReloadRequest, ReloadResult } from '../admin/control.ts'
import { UnderstudyError } from '../base/errors.ts'
import { type AdminOptions, adminClient, type JsonOption, jsonOption, withAdminOptions } from './admin-options.ts'
import { EXIT } from './exit-code.ts'
import { formatMs } from './format.ts'
import { reloadResultOf } from './older-answers.ts'
import { printable, type Terminal } from './terminal.ts'

/** A reload that moves keys waits for the backlog; the sidecar calls it off long before this. */
const RELOAD_TIMEOUT_MS = 10 * 60_000

interface ReloadOptions extends AdminOptions, JsonOption {
  readonly dryRun?: boolean
  readonly force?: boolean
  readonly reason?: string
}

/** `understudy reload`: has the running sidecar read its configuration file again, and says which keys that moves. */
export function addReload(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  withAdminOptions(program.command('reload'))
    .description('read the configuration file again and wait until it is in force; says which keys get another primary')
    .option('--dry-run', 'say what would become of which keys, change nothing; exit code 1 when a gate is closed')
    .option('--force', 'reload although gates are closed; needs --reason')
    .option('--reason <text>', 'why it is forced; written to the log')
    .addOption(jsonOption())
    .action(async (options: ReloadOptions) => {
      const { dryRun, force, reason, json } = options
      if (force && !reason?.trim()) throw new UnderstudyError('USAGE', '--force needs --reason TEXT')
      const request: ReloadRequest = { ...(force ? { force } : {}), ...(reason === undefined ? {} : { reason }) }
      const admin = adminClient(options)
      // Not by a field of the request: an older sidecar would not know it, and reload.
      const answer = dryRun
        ? await admin.get<unknown>('/api/v1/config/changes')
        : await admin.post<unknown>('/api/v1/config/reload', request, RELOAD_TIMEOUT_MS)
      const result = reloadResultOf(answer)
      if (json) terminal.json(answer)
      else for (const line of resultLines(result, dryRun === true)) terminal.line(line)
      finish(result.closedGates.length > 0 ? EXIT.no : EXIT.done)
    })
}

function resultLines(
  { changed, epoch, pauseMs, moves, closedGates, gates, needsRestart }: ReloadResult,
  dryRun: boolean,
): string[] {
  const pause = (pauseMs ?? 0) > 0 ? `, commands held for ${formatMs(pauseMs!)}` : ''
  const head = dryRun
    ? `The file ${changed ? 'differs from' : 'is'} what is in force (dry run, nothing changed)`
    : changed
      ? `Reloaded (epoch ${epoch})${pause}`
      : 'The file is what is in force already'
  const open = dryRun ? gates.filter((gate) => gate.open) : []
  return [
    head,
    ...(needsRestart.length > 0 ? [`  but for what applies after a restart: ${needsRestart.join(', ')}`] : []),
    ...moves.map((move) => `  ${move}`),
    ...(open.length > 0 ? ['Open gates:', ...open.map(({ route, reason }) => `  ${route}: ${reason}`)] : []),
    ...(closedGates.length > 0 ? ['Closed gates:', ...closedGates.map((gate) => `  ${gate}`)] : []),
  ].map(printable)
}
