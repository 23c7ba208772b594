import { type Case, type Command, groupOf } from './cases.ts'
import type { IdleMemory } from './idle-connections.ts'
import type { LoadResult } from './load.ts'
import { geometricMean, median } from './statistics.ts'
import type { SystemName } from './systems.ts'

/** One case of one system in one round. */
export interface Sample extends LoadResult {
  readonly system: SystemName
  readonly case: Case
  readonly round: number
  /** Of the process between client and Redis, all threads, what it still had to do afterwards included. */
  readonly cpuMicrosecondsPerRequest: number
}

interface Summary {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuMicroseconds: number
}

/**
 * Medians over the rounds as Markdown, one table per combination of clients, pipeline and size. `of direct` is the share of the
 * requests/s of Redis itself in the same run.
 */
export function renderThroughput(samples: readonly Sample[]): string {
  const groups = Map.groupBy(samples, (sample) => groupOf(sample.case))
  return [...groups].map(([title, group]) => `### ${title}\n\n${renderGroup(group)}`).join('\n\n')
}

function renderGroup(samples: readonly Sample[]): string {
  const commands = [...new Set(samples.map((sample) => sample.case.command))]
  const systems = [...new Set(samples.map((sample) => sample.system))]
  const direct = new Map(commands.map((command) => [command, summaryOf(samples, 'direct', command)]))
  const header = [
    'system',
    ...commands.flatMap((c) => [`${c} of direct`, `${c}/s`, `${c} p50 / p99 ms`, `${c} CPU us`]),
    ...(commands.length > 1 ? ['mean of direct'] : []),
  ]
  const rows = systems.map((system) => {
    const shares: number[] = []
    const cells = commands.flatMap((command) => {
      const own = summaryOf(samples, system, command)
      if (own === null) return ['-', '-', '-', '-']
      const whole = direct.get(command)
      const share = whole ? own.requestsPerSecond / whole.requestsPerSecond : undefined
      if (share !== undefined) shares.push(share)
      return [
        share === undefined ? '-' : share.toFixed(2),
        Math.round(own.requestsPerSecond).toLocaleString('en-US'),
        `${own.p50Ms.toFixed(2)} / ${own.p99Ms.toFixed(2)}`,
        system === 'direct' ? '-' : own.cpuMicroseconds.toFixed(2),
      ]
    })
    const mean = shares.length === commands.length ? geometricMean(shares).toFixed(2) : '-'
    return [system, ...cells, ...(commands.length > 1 ? [mean] : [])]
  })
  return renderTable(header, rows)
}

export function renderMemory(memory: ReadonlyMap<SystemName, IdleMemory>): string {
  const rows = [...memory].map(([system, { residentBytes, bytesPerConnection }]) => [
    system,
    (residentBytes / 2 ** 20).toFixed(1),
    Math.round(bytesPerConnection).toLocaleString('en-US'),
  ])
  return renderTable(['system', 'resident MB with 1,000 idle clients', 'bytes per further client'], rows)
}

function summaryOf(samples: readonly Sample[], system: SystemName, command: Command): Summary | null {
  const own = samples.filter((sample) => sample.system === system && sample.case.command === command)
  const middle = (value: (sample: Sample) => number) => median(own.map(value)) ?? Number.NaN
  if (own.length === 0) return null
  return {
    requestsPerSecond: middle((sample) => sample.requestsPerSecond),
    p50Ms: middle((sample) => sample.p50Ms),
    p99Ms: middle((sample) => sample.p99Ms),
    cpuMicroseconds: middle((sample) => sample.cpuMicrosecondsPerRequest),
  }
}

function renderTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, header.map((_, column) => (column === 0 ? '---' : '---:')), ...rows]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
