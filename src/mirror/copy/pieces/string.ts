import { command } from '../../../command/effects/building.ts'
import { bulk } from '../../../command/effects/reading.ts'
import type { Args } from '../../../command/effects.ts'
import type { Reply } from '../../../resp/reply.ts'
import { KEY, LATER, type Pieces, RESTART, type Taken, type Verdict } from './pieces.ts'

/** A string, range by range. What is appended meanwhile is read later; any other change begins it anew. */
export class StringPieces implements Pieces {
  readonly #key: Buffer
  #offset = 0

  constructor(key: Buffer) {
    this.#key = key
  }

  reads(size: number): readonly Args[] {
    return [command('GETRANGE', this.#key, this.#offset, this.#offset + size - 1), command('STRLEN', this.#key)]
  }

  take([range, length]: readonly Reply[]): Taken | null {
    const bytes = bulk(range)
    if (bytes === null || typeof length !== 'number') return null
    const first = this.#offset === 0
    this.#offset += bytes.length
    if (this.#offset > length) return null
    const done = this.#offset === length
    if (first) return { writes: [command('SET', KEY, bytes)], done }
    return { writes: bytes.length === 0 ? [] : [command('APPEND', KEY, bytes)], done }
  }

  effect(name: string): Verdict {
    return name === 'APPEND' || this.#offset === 0 ? LATER : RESTART
  }
}
