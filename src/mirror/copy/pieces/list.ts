import { command } from '../../../command/effects/building.ts'
import { bulks } from '../../../command/effects/reading.ts'
import type { Args } from '../../../command/effects.ts'
import type { Reply } from '../../../resp/reply.ts'
import { grouped, KEY, LATER, type Pieces, RESTART, type Taken, type Verdict } from './pieces.ts'

/** This part of a window is read again, for the case that elements are taken from the list's head meanwhile. */
const MARGIN = 1 / 4

/**
 * A list, window by window from its head.
 *
 *   list   [ a b c d e f g h ... ]     length
 *   copy   [ a b c d ]                 a prefix of the list at every moment
 *
 * Queues are pushed to and taken from all the time, at their ends. What happens at the head happens to the copy too; what is pushed at the tail is read later; what is
 * taken from the tail only counts when it reaches into the prefix. Changes in the middle begin it anew.
 */
export class ListPieces implements Pieces {
  readonly #key: Buffer
  /** Elements of the copy. */
  #copied = 0
  /** Of the list. */
  #length = 0
  /** Where the window that is being read begins. */
  #from = 0

  constructor(key: Buffer) {
    this.#key = key
  }

  reads(size: number): readonly Args[] {
    this.#from = Math.max(0, this.#copied - Math.ceil(size * MARGIN))
    const last = Math.min(this.#copied + size - 1, Number.MAX_SAFE_INTEGER)
    return [command('LRANGE', this.#key, this.#from, last), command('LLEN', this.#key)]
  }

  take([range, length]: readonly Reply[]): Taken | null {
    if (typeof length !== 'number' || !Array.isArray(range)) return null
    const window = bulks(range)
    this.#length = length
    // Pops at the head have moved the list under the window: what follows the prefix is before it.
    if (this.#from > this.#copied) return { writes: [], done: false }
    const elements = window.slice(this.#copied - this.#from)
    this.#copied += elements.length
    const done = this.#copied >= length
    if (this.#copied > length) return null
    return { writes: grouped(['RPUSH', KEY], elements, 1), done }
  }

  effect(name: string, args: Args): Verdict {
    const elements = args.length - 2
    switch (name) {
      case 'LPUSH':
      case 'LPUSHX':
        this.#length += elements
        return this.#atHead(elements, args)
      case 'RPUSH':
      case 'RPUSHX':
        this.#length += elements
        return LATER
      case 'LPOP': {
        const count = countOf(args)
        this.#length = Math.max(0, this.#length - count)
        return this.#atHead(-count, args)
      }
      case 'RPOP':
        this.#length = Math.max(0, this.#length - countOf(args))
        return this.#cut()
      default:
        return this.#copied === 0 ? LATER : RESTART
    }
  }

  /** Nothing has been copied: the first window will be what it is then. */
  #atHead(change: number, args: Args): Verdict {
    if (this.#copied === 0) return LATER
    this.#copied = Math.max(0, this.#copied + change)
    return { kind: 'also', commands: [[args[0]!, KEY, ...args.slice(2)]] }
  }

  #cut(): Verdict {
    if (this.#copied <= this.#length) return LATER
    this.#copied = this.#length
    return {
      kind: 'also',
      commands: [this.#length === 0 ? command('DEL', KEY) : command('LTRIM', KEY, 0, this.#length - 1)],
    }
  }
}

function countOf(args: Args): number {
  return args.length < 3 ? 1 : Number(args[2]!.toString('latin1'))
}
