import { setTimeout as sleep } from 'node:timers/promises'
import { type Command, InvalidArgumentError } from 'commander'
import { UnderstudyError } from '../base/errors.ts'
import type { AdminClient } from './admin-client.ts'
import { type AdminOptions, adminClient, type JsonOption, jsonOption, withAdminOptions } from './admin-options.ts'
import { EXIT } from './exit-code.ts'
import { jobOf, listOf, statusOf } from './older-answers.ts'
import { statusLines } from './status-lines.ts'
import { printable, type Terminal } from './terminal.ts'

const DEFAULT_WATCH_SECONDS = 2
const MAX_WATCH_SECONDS = 86_400

interface StatusOptions extends AdminOptions, JsonOption {
  /** true: no number was given. */
  readonly watch?: number | true
}

/** `understudy status`: one look at everything, or one after the other. */
export function addStatus(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  withAdminOptions(program.command('status'))
    .description('show stores, routes, phases, lag, backlog, dirty keys and mismatch rates')
    .option(
      '--watch [seconds]',
      `look again every so many seconds (default: ${DEFAULT_WATCH_SECONDS}) until Ctrl-C; with --json, a line of JSON each time`,
      parseSeconds,
    )
    .addOption(jsonOption())
    .action(async (options: StatusOptions) => {
      const client = adminClient(options)
      if (options.watch !== undefined) await watch(client, options, terminal)
      else {
        if (options.json) terminal.json(await client.get<unknown>('/api/v1/status'))
        else for (const line of await look(client, terminal)) terminal.line(line)
      }
      finish(EXIT.done)
    })
}

async function look(client: AdminClient, terminal: Terminal, signal?: AbortSignal): Promise<string[]> {
  const status = statusOf(await client.get<unknown>('/api/v1/status', signal))
  // It says enough without them: while it starts, a sidecar has none to tell of.
  const jobs = await client.get<unknown>('/api/v1/jobs', signal).catch(() => [])
  signal?.throwIfAborted()
  return statusLines(status, terminal, listOf(jobs, jobOf))
}

/** Until Ctrl-C. A sidecar that does not answer may be about to: that is shown, and it is asked again. */
async function watch(client: AdminClient, { watch, json }: StatusOptions, terminal: Terminal): Promise<void> {
  const everyMs = 1000 * (watch === true || watch === undefined ? DEFAULT_WATCH_SECONDS : watch)
  const interrupt = new AbortController()
  process.once('SIGINT', () => interrupt.abort())
  while (!interrupt.signal.aborted) {
    try {
      if (json) terminal.json(await client.get<unknown>('/api/v1/status', interrupt.signal), 0)
      else terminal.screen([...(await look(client, terminal, interrupt.signal)), '', shownAt()])
    } catch (error) {
      if (interrupt.signal.aborted) return
      // A wrong address or token does not become right.
      if (!(error instanceof UnderstudyError) || error.code !== 'ADMIN_UNREACHABLE') throw error
      if (json) terminal.note(`understudy: ${printable(error.message)}`)
      else terminal.screen([terminal.style('red', printable(error.message)), '', shownAt()])
    }
    await sleep(everyMs, undefined, { signal: interrupt.signal }).catch(() => {})
  }
}

function shownAt(): string {
  return new Date().toISOString()
}

function parseSeconds(text: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (seconds >= 0.1 && seconds <= MAX_WATCH_SECONDS) return seconds
  throw new InvalidArgumentError(`seconds from 0.1 to ${MAX_WATCH_SECONDS}.`)
}
