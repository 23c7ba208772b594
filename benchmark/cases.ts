/** One load: what redis-benchmark is told to do. */
export interface Case {
  readonly clients: number
  /** Commands that a client sends before it waits for replies. */
  readonly pipeline: number
  readonly valueBytes: number
  readonly command: Command
  readonly requests: number
}

export const COMMANDS = ['SET', 'GET'] as const
export type Command = (typeof COMMANDS)[number]

export interface CaseSelection {
  readonly clients: readonly number[]
  readonly pipelines: readonly number[]
  readonly valueBytes: readonly number[]
  readonly commands: readonly Command[]
  /** 1: about a second of a direct Redis per case. */
  readonly length: number
}

/** How many different keys are used: few enough to fit in memory at 4 KB, many enough not to sit in the CPU's cache. */
export const KEYSPACE = 10_000

/**
 * Every combination that was selected. Many clients are there to show what a connection costs, which neither pipelining
 * nor large values add to: beyond 100 clients only the plain case is run, unless it was asked for alone.
 */
export function casesOf({ clients, pipelines, valueBytes, commands, length }: CaseSelection): Case[] {
  const cases: Case[] = []
  for (const bytes of valueBytes) {
    for (const count of clients) {
      for (const pipeline of pipelines) {
        const extra = pipeline !== pipelines[0] || bytes !== valueBytes[0]
        if (count > 100 && clients.length > 1 && extra) continue
        for (const command of commands) {
          cases.push({
            clients: count,
            pipeline,
            valueBytes: bytes,
            command,
            requests: requestsOf(pipeline, bytes, length),
          })
        }
      }
    }
  }
  return cases
}

function requestsOf(pipeline: number, valueBytes: number, length: number): number {
  const perSecond = pipeline === 1 ? 120_000 : 700_000
  return Math.round((perSecond * length) / (valueBytes > 1_024 ? (pipeline === 1 ? 1.5 : 5) : 1))
}

/** What cases of one table have in common. */
export function groupOf({ clients, pipeline, valueBytes }: Case): string {
  const size = valueBytes >= 1_024 ? `${valueBytes / 1_024} KB` : `${valueBytes}-byte`
  return `${clients} clients, ${pipeline === 1 ? 'no pipelining' : `${pipeline} deep`}, ${size} values`
}
