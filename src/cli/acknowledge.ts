import { type Command, InvalidArgumentError, Option } from 'commander'
import type { AcknowledgementView } from '../admin/control.ts'
import { UnderstudyError } from '../base/errors.ts'
import { parseInstant } from '../base/instant.ts'
import { type AdminOptions, adminClient, type JsonOption, jsonOption, withAdminOptions } from './admin-options.ts'
import { EXIT } from './exit-code.ts'
import { tableLines } from './table.ts'
import { printable, type Terminal } from './terminal.ts'

const PATH = '/api/v1/acknowledgements'
const TIMEOUT_MS = 10_000

interface AcknowledgeOptions extends AdminOptions, JsonOption {
  readonly reason?: string
  readonly until?: string
  readonly revoke?: number
}

/** `understudy acknowledge`: differences that are known are no part of a mismatch rate. */
export function addAcknowledge(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  withAdminOptions(program.command('acknowledge'))
    .description('mark a mismatch as known, so that it is no part of a rate; without a number, list what is marked')
    .argument('[mismatch]', 'its number, as `understudy mismatches` shows it', parseId)
    .option('--reason <text>', 'why it may be ignored; needed with a number')
    .option(
      '--until <time>',
      'until when, as in 2027-01-31 or 2027-01-31T08:00:00Z; without: until it is revoked',
      parseTime,
    )
    .addOption(
      new Option('--revoke <id>', 'take an acknowledgement back, by its own number')
        .argParser(parseId)
        .conflicts(['reason', 'until']),
    )
    .addOption(jsonOption())
    .action(async (mismatch: number | undefined, options: AcknowledgeOptions) => {
      const client = adminClient(options)
      const { reason, until, revoke } = options
      if (revoke !== undefined) {
        if (mismatch !== undefined)
          throw new UnderstudyError('USAGE', 'give the number of a mismatch to acknowledge, or --revoke ID, not both')
        const revoked = await client.delete(`${PATH}/${revoke}`, TIMEOUT_MS)
        if (options.json) terminal.json(revoked)
        else terminal.line(`${revoke} revoked`)
      } else if (mismatch !== undefined) {
        if (reason === undefined) throw new UnderstudyError('USAGE', 'an acknowledgement needs --reason TEXT')
        const body = { mismatch, reason, ...(until === undefined ? {} : { until }) }
        const made = await client.post<AcknowledgementView>(PATH, body, TIMEOUT_MS)
        print([made], options, terminal)
      } else if (reason !== undefined || until !== undefined) {
        throw new UnderstudyError('USAGE', 'which mismatch? Give its number: understudy mismatches shows it')
      } else print(await client.get<AcknowledgementView[]>(PATH), options, terminal)
      finish(EXIT.done)
    })
}

const COLUMNS = ['id', 'route', 'pattern', 'command', 'class', 'until', 'reason'].map((title) => ({ title }))

function print(list: readonly AcknowledgementView[], { json }: JsonOption, terminal: Terminal): void {
  if (json) return terminal.json(list)
  if (list.length === 0) return terminal.line('Nothing is acknowledged.')
  const rows = list.map(({ id, route, pattern, command, class: of, until, reason }) =>
    [id === null ? 'file' : String(id), route, pattern ?? '*', command ?? '*', of ?? '*', until ?? '-', reason].map(
      printable,
    ),
  )
  for (const line of tableLines(COLUMNS, rows)) terminal.line(line)
}

function parseId(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a number.')
  return Number(text)
}

/** A date is its end, in UTC, as in the configuration. */
function parseTime(text: string): string {
  try {
    return new Date(parseInstant(text)).toISOString()
  } catch (error) {
    if (!(error instanceof UnderstudyError)) throw error
    throw new InvalidArgumentError(`It ${error.message}.`)
  }
}
