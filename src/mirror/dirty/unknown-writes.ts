import type { CommandSpec } from '../../command/spec.ts'
import type { LogLine } from '../../observability/log.ts'

/** Writes of which it is not known for certain what they have done: counted by command name, and said once each. */
export class UnknownWrites {
  readonly counts = new Map<string, number>()
  readonly #log: (line: LogLine) => void

  constructor(log: (line: LogLine) => void) {
    this.#log = log
  }

  /** `reason` names no key. */
  count(spec: CommandSpec | null, reason = 'the command is not known'): void {
    const name = spec?.name ?? 'unknown'
    const seen = this.counts.get(name) ?? 0
    this.counts.set(name, seen + 1)
    if (seen > 0) return
    this.#log({
      level: 'warn',
      msg: 'what a write command has done is not known for certain; the keys it names are copied',
      fields: { command: name, reason },
    })
  }
}
