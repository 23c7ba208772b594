import { Log, type LogLine } from '../../src/observability/log.ts'

/** Keeps what is logged, a text a line. */
export class LogLines extends Log {
  readonly lines: string[] = []

  write({ msg, fields }: LogLine): void {
    this.lines.push(`${msg} ${JSON.stringify(fields)}`)
  }
}
