import type { DestinationStream } from 'pino'

/**
 * Turns pino's JSON lines into lines for a person:
 *
 * ```
 * 12:00:00.123 INFO  phase in force  route=jobs from=mirror to=shadow pauseMs=3
 * ```
 */
export function prettyDestination(output: DestinationStream): DestinationStream {
  return { write: (line) => output.write(prettyLine(line)) }
}

function prettyLine(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as Record<string, unknown>
  const shown = Object.entries(fields).map(([name, value]) => ` ${name}=${prettyValue(value)}`)
  const clock = String(time).slice(11, 23)
  return `${clock} ${String(level).toUpperCase().padEnd(5)} ${msg}${shown.length > 0 ? ' ' : ''}${shown.join('')}\n`
}

function prettyValue(value: unknown): string {
  const text = String(value)
  return text === '' || /[\s"=]/.test(text) ? JSON.stringify(text) : text
}
