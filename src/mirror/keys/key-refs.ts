import { findKeys, KeyPositions } from '../../command/keys.ts'
import { otherDatabase } from '../../command/other-database.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { KeyRule } from '../../routing/route.ts'
import type { DataPathContext } from '../context.ts'

/** A key by its application's name, with what the table says about it. */
export interface KeyRef {
  readonly rule: KeyRule
  readonly database: number
  readonly key: Buffer
}

/** Finds the application's keys in bytes that are whole commands. */
export class KeyRefs {
  readonly #context: DataPathContext
  readonly #parser = new CommandParser()
  readonly #positions = new KeyPositions()

  constructor(context: DataPathContext) {
    this.#context = context
  }

  of(key: Buffer, database: number): KeyRef {
    return { rule: this.#context.routes.find(key, 0, key.length), database, key }
  }

  /** The keys of the command `bytes[start .. end)`: where it takes one to another database, also the one there. */
  in(spec: CommandSpec | null, database: number, bytes: Buffer, start: number, end: number): KeyRef[] {
    if (spec === null) return []
    this.#parser.parse(bytes, start, end)
    const view = this.#parser
    findKeys(spec, view, this.#positions)
    const refs: KeyRef[] = []
    for (let i = 0; i < this.#positions.count; i++) {
      const arg = this.#positions.index[i]!
      refs.push(this.of(Buffer.from(view.buf.subarray(view.start[arg]!, view.end[arg]!)), database))
    }
    const elsewhere = otherDatabase(spec, view)
    const key = refs.at(-1)?.key
    if (elsewhere !== -1 && key !== undefined) refs.push(this.of(key, elsewhere))
    return refs
  }
}
