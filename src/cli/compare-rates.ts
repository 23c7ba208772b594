import type { RouteComparisonView } from '../admin/control.ts'
import type { MismatchRate } from '../admin/status.ts'
import { UnderstudyError } from '../base/errors.ts'
import type { AdminClient } from './admin-client.ts'
import { formatShare } from './format.ts'
import { comparisonOf } from './older-answers.ts'
import { tableLines } from './table.ts'
import { printable, type Terminal } from './terminal.ts'

const COLUMNS = [
  { title: 'route' },
  { title: 'command' },
  ...['1 m', '10 m', '1 h'].flatMap((span) => [
    { title: span, right: true },
    { title: '', right: true },
  ]),
  { title: 'transient', right: true },
  { title: 'known', right: true },
  { title: 'ignored', right: true },
]

interface RatesOptions {
  readonly route?: string
  readonly json?: boolean
}

/** `understudy mismatches --rates`: numerator, denominator and share, by route and command; then what was dropped. */
export async function printRates(client: AdminClient, options: RatesOptions, terminal: Terminal): Promise<void> {
  const { routes } = comparisonOf(await client.get<unknown>('/api/v1/compare'))
  const wanted = Object.entries(routes).filter(([name]) => options.route === undefined || name === options.route)
  if (options.route !== undefined && wanted.length === 0)
    throw new UnderstudyError('NOT_FOUND', `no route is called '${options.route}'`)
  if (options.json) return terminal.json({ routes: Object.fromEntries(wanted) })
  for (const line of tableLines(
    COLUMNS,
    wanted.flatMap(([name, route]) => rowsOf(name, route)),
  ))
    terminal.line(line)
  for (const [name, { skipped, baseline, repaired }] of wanted) {
    const reasons = Object.entries(skipped).filter(([, count]) => count > 0)
    if (reasons.length > 0)
      terminal.line(`${printable(name)}: not compared: ${reasons.map(([why, count]) => `${count} ${why}`).join(', ')}`)
    if (baseline.compared > 0)
      terminal.line(
        `${printable(name)}: baseline: ${baseline.differed} of ${baseline.compared} reads (${formatShare(baseline.differed, baseline.compared)}) differ from themselves`,
      )
    if (repaired > 0) terminal.line(`${printable(name)}: ${repaired} key${repaired === 1 ? '' : 's'} repaired`)
  }
}

function rowsOf(name: string, { rates, commands }: RouteComparisonView): string[][] {
  const sum = (of: 'transient' | 'acknowledged' | 'ignored') =>
    Object.values(commands).reduce((total, command) => total + command[of], 0)
  return [
    row(name, '', rates, [sum('transient'), sum('acknowledged'), sum('ignored')]),
    ...Object.entries(commands).map(([command, { rates: own, transient, acknowledged, ignored }]) =>
      row('', command, own, [transient, acknowledged, ignored]),
    ),
  ]
}

function row(route: string, command: string, rates: RouteComparisonView['rates'], counts: readonly number[]): string[] {
  const cells = ({ compared, mismatched }: MismatchRate): string[] => [
    `${mismatched}/${compared}`,
    formatShare(mismatched, compared),
  ]
  return [
    printable(route),
    printable(command),
    ...cells(rates['1m']),
    ...cells(rates['10m']),
    ...cells(rates['1h']),
    ...counts.map(String),
  ]
}
