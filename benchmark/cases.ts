/** One load: what redis-benchmark is told to do. */
export interface Case {
  readonly clients: number
  /** Commands that a client sends before it waits for replies. */
  readonly pipeline: number
  readonly valueBytes: number
  readonly command: Command
  readonly requests: number
  /** Different keys, taken at random. */
  readonly keys: number
}

export const COMMANDS = ['SET', 'GET'] as const
export type Command = (typeof COMMANDS)[number]

export interface CaseSelection {
  readonly clients: readonly number[]
  readonly pipelines: readonly number[]
  readonly valueBytes: readonly number[]
  readonly commands: readonly Command[]
  /** null: as many as `keysOf` says. */
  readonly keys: number | null
  /** 1: about a second of a direct Redis per case. */
  readonly length: number
}

/**
 * Every combination that was selected. Many clients are there to show what a connection costs, which neither pipelining
 * nor large values add to: beyond 100 clients only the plain case is run, unless it was asked for alone.
 */
export function casesOf({ clients, pipelines, valueBytes, commands, keys, length }: CaseSelection): Case[] {
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
            keys: keys ?? keysOf(bytes),
            requests: requestsOf(pipeline, bytes, length),
          })
        }
      }
    }
  }
  return cases
}

/**
 * A million keys, the number of Redis' own example of a pipelined benchmark: what they take, with their values, is several times a CPU's cache, as
 * production data is. Of large values 200 MB, for two servers to hold.
 */
function keysOf(valueBytes: number): number {
  return Math.min(1_000_000, Math.round(200_000_000 / valueBytes))
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
