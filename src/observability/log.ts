import { type DestinationStream, type Logger, pino } from 'pino'
import { type LogFields, safeFields, safeText } from './log-fields.ts'
import { LogOutput } from './log-output.ts'
import { prettyDestination } from './log-pretty.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** A line as plain data: the data path's thread posts it, the main thread writes it. */
export interface LogLine {
  readonly level: LogLevel
  /** A constant text; what varies goes into fields. */
  readonly msg: string
  readonly fields: LogFields
}

/** Where lines go; a method for each level, all by `write`. */
export abstract class Log {
  abstract write(line: LogLine): void

  debug(msg: string, fields: LogFields = {}): void {
    this.write({ level: 'debug', msg, fields })
  }

  info(msg: string, fields: LogFields = {}): void {
    this.write({ level: 'info', msg, fields })
  }

  warn(msg: string, fields: LogFields = {}): void {
    this.write({ level: 'warn', msg, fields })
  }

  error(msg: string, fields: LogFields = {}): void {
    this.write({ level: 'error', msg, fields })
  }
}

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'json' | 'pretty'
  /** Where lines go; standard output if not given. */
  readonly destination?: DestinationStream
}

/** A secret shorter than this would make every text unreadable, and protects nothing. */
const MIN_SECRET_LENGTH = 4

/**
 * The process's log: one line a state change. Only the fields of `LogFields` are written, and texts lose URL credentials,
 * control characters, and every secret that `hide` was told.
 */
export class ProcessLog extends Log {
  readonly #pino: Logger
  readonly #output: DestinationStream
  /** Null: lines go elsewhere. */
  readonly #stdout: LogOutput | null
  #secrets: readonly string[] = []

  constructor({ level, format, destination }: LogOptions) {
    super()
    this.#stdout = destination === undefined ? new LogOutput(1) : null
    const output = this.#stdout ?? destination!
    this.#output = output
    if (this.#stdout !== null) process.on('exit', () => this.#stdout!.flush())
    this.#pino = pino(
      {
        level,
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      format === 'pretty' ? prettyDestination(output) : output,
    )
  }

  write({ level, msg, fields }: LogLine): void {
    if (!this.#pino.isLevelEnabled(level)) return
    const safe = (text: string) => safeText(text, this.#secrets)
    this.#pino[level](safeFields(fields, safe), safe(msg))
  }

  /** Configured secrets (passwords, tokens) that must not appear even inside a text; replaces the earlier list. A secret inside a longer one is hidden with it. */
  hide(secrets: readonly string[]): void {
    this.#secrets = secrets.filter((secret) => secret.length >= MIN_SECRET_LENGTH).sort((a, b) => b.length - a.length)
  }

  set level(level: LogLevel) {
    this.#pino.level = level
  }

  /** A line for people, as it is. What becomes of it keeps the process from nothing, as with any line of the log. */
  say(line: string): void {
    this.#output.write(`${line}\n`)
  }

  /** As `LogOutput.drain`. */
  async drain(): Promise<boolean> {
    return this.#stdout?.drain() ?? true
  }
}
