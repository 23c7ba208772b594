import { setTimeout as sleep } from 'node:timers/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { MISMATCH_CLASSES, type Mismatch, type MismatchClass } from '../admin/control.ts'
import { UnderstudyError } from '../base/errors.ts'
import type { AdminClient } from './admin-client.ts'
import { type AdminOptions, adminClient, type JsonOption, jsonOption, withAdminOptions } from './admin-options.ts'
import { printRates } from './compare-rates.ts'
import { EXIT } from './exit-code.ts'
import { listOf, mismatchOf } from './older-answers.ts'
import { tableLines } from './table.ts'
import { printable, type Terminal } from './terminal.ts'

/** The status comes every second; after so long without anything the connection is taken for dead. */
const SILENCE_MS = 15_000
const RECONNECT_MS = 1_000
/** How many of the printed ones are remembered, to know them again after a reconnect. */
const MAX_REMEMBERED = 10_000

interface MismatchOptions extends AdminOptions, JsonOption {
  readonly route?: string
  readonly class?: MismatchClass
  readonly command?: string
  readonly new?: boolean
  readonly limit: number
  readonly follow?: boolean
  readonly rates?: boolean
  readonly export?: boolean
}

/** `understudy mismatches`: what the comparer found. */
export function addMismatches(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  withAdminOptions(program.command('mismatches'))
    .description("read the comparer's findings; values are masked unless the route reveals them")
    .option('--route <name>', 'only of this route')
    .addOption(new Option('--class <class>', 'only of this class').choices(MISMATCH_CLASSES))
    .option('--command <name>', 'only of this command')
    .option('--new', 'only those that are not acknowledged')
    .option('--limit <count>', 'at most so many, the newest', parseLimit, 100)
    .option('--follow', 'then print each one when it is found (with --json: one object a line)')
    .addOption(
      new Option(
        '--rates',
        'how many of the compared reads differed, by route and command, over 1 m, 10 m and 1 h',
      ).conflicts(['class', 'command', 'new', 'limit', 'follow', 'export']),
    )
    .addOption(
      new Option('--export', 'every key that showed a difference, one JSON object a line').conflicts([
        'limit',
        'follow',
      ]),
    )
    .addOption(jsonOption())
    .action(async (options: MismatchOptions) => {
      const client = adminClient(options)
      if (options.rates) {
        await printRates(client, options, terminal)
        return finish(EXIT.done)
      }
      if (options.export) {
        terminal.raw(await client.text(`/api/v1/mismatches/export?${filterOf(options)}`))
        return finish(EXIT.done)
      }
      if (options.follow) return follow(client, options, terminal)
      const answer = await client.get<unknown>(listPath(options))
      const found = listOf(answer, mismatchOf)
      if (options.json) terminal.json(answer)
      else if (found.length === 0) terminal.line(isFiltered(options) ? 'No mismatch fits.' : 'No mismatches.')
      else for (const line of listLines(found)) terminal.line(line)
      finish(EXIT.done)
    })
}

const COLUMNS = ['id', 'last seen', 'route', 'class', 'command', 'keys', 'count', 'note'].map((title) => ({
  title,
  right: title === 'count' || title === 'id',
}))
const INDENT = '    '

/** A row for each; below it the latest key, what differs, and both answers, one under the other so that eyes can compare them. */
function listLines(found: readonly Mismatch[]): string[] {
  const [titles, ...rows] = tableLines(
    COLUMNS,
    found.map((one) => [...factsOf(one), noteOf(one)].map(printable)),
  )
  return [titles!, ...rows.flatMap((row, i) => [row, ...exampleOf(found[i]!)])]
}

function exampleOf({ key, detail, primary, shadow }: Mismatch): string[] {
  return [`${key}: ${detail}`, `primary  ${primary}`, `shadow   ${shadow}`].map((line) => INDENT + printable(line))
}

/** All of it on one line, for who follows. */
function lineOf(found: Mismatch): string {
  const { key, detail, primary, shadow } = found
  return [...factsOf(found), key, detail, primary, shadow, noteOf(found)].map(printable).join('  ').trimEnd()
}

function factsOf({ id, lastSeen, route, class: of, command, pattern, keys, count }: Mismatch): string[] {
  const time = lastSeen.replace('T', ' ').replace(/\.\d+Z$/, 'Z')
  return [String(id), time, route, of, command, keys > 1 ? `${pattern} (${keys})` : pattern, String(count)]
}

function noteOf({ cause, acknowledged }: Mismatch): string {
  const until = acknowledged === null || acknowledged.until === null ? '' : ` until ${acknowledged.until}`
  return [cause ?? '', acknowledged === null ? '' : `known${until}: ${acknowledged.reason}`]
    .filter((text) => text !== '')
    .join(', ')
}

/**
 * Prints what there is, oldest first, and then what comes, for ever. Listening begins before the list is read, so that nothing falls between; after
 * a lost connection the list is read again, and what was printed already is known by its id and count.
 *
 * @throws UnderstudyError when the first connection fails, or a later one is refused (another token is wanted now)
 */
async function follow(client: AdminClient, options: MismatchOptions, terminal: Terminal): Promise<never> {
  const printed = new Map<number, number>()
  const print = (found: Mismatch) => {
    if ((printed.get(found.id) ?? 0) >= found.count) return
    printed.delete(found.id)
    printed.set(found.id, found.count)
    if (printed.size > MAX_REMEMBERED) printed.delete(printed.keys().next().value!)
    if (options.json) terminal.json(found, 0)
    else terminal.line(lineOf(found))
  }
  let wasConnected = false
  for (;;) {
    let connected = false
    try {
      await client.listen(SILENCE_MS, async (events) => {
        const before = listOf(await client.get<unknown>(listPath(options)), mismatchOf)
        wasConnected = connected = true
        for (const found of before.reverse()) print(found)
        for await (const { event, data } of events) {
          if (event !== 'mismatch') continue
          const found = mismatchOf(data)
          if (wanted(found, options)) print(found)
        }
      })
    } catch (error) {
      const unreachable = error instanceof UnderstudyError && error.code === 'ADMIN_UNREACHABLE'
      if (!unreachable || !wasConnected) throw error
    }
    if (connected) terminal.note('understudy: connection lost, trying again')
    await sleep(RECONNECT_MS)
  }
}

function wanted(found: Mismatch, options: MismatchOptions): boolean {
  return (
    (options.route === undefined || found.route === options.route) &&
    (options.class === undefined || found.class === options.class) &&
    (options.command === undefined || found.command === options.command.toUpperCase()) &&
    (!options.new || found.acknowledged === null)
  )
}

function listPath(options: MismatchOptions): string {
  const query = filterOf(options)
  query.set('limit', String(options.limit))
  return `/api/v1/mismatches?${query}`
}

function isFiltered(options: MismatchOptions): boolean {
  return filterOf(options).size > 0
}

function filterOf(options: MismatchOptions): URLSearchParams {
  const { route, class: of, command } = options
  const query = new URLSearchParams()
  if (route !== undefined) query.set('route', route)
  if (of !== undefined) query.set('class', of)
  if (command !== undefined) query.set('command', command)
  if (options.new) query.set('acknowledged', 'false')
  return query
}

function parseLimit(text: string): number {
  const limit = Number(text)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw new InvalidArgumentError('It must be 1 to 1000.')
  return limit
}
