import { createHash } from 'node:crypto'
import type { CommandView } from '../../resp/command-view.ts'
import type { CommandSpec } from '../spec.ts'
import { saysNoWrites } from './read-only-script.ts'

/**
 * Which scripts and functions declare that they write nothing, of those whose source has been seen: the server counts a call of them as a read (redis.io, "Lua API reference", script flags). One that
 * was loaded unseen is taken for one that writes.
 */
export class ReadOnlyScripts {
  readonly #shas = new Set<string>()
  readonly #isReadOnlyFunction: (name: string) => boolean

  /** `isReadOnlyFunction`: as far as the stores' functions are known. */
  constructor(isReadOnlyFunction: (name: string) => boolean) {
    this.#isReadOnlyFunction = isReadOnlyFunction
  }

  /** A command without keys that may load scripts. */
  note(spec: CommandSpec, view: CommandView): void {
    if (spec.name === 'SCRIPT LOAD' && view.argc === 3 && saysNoWrites(view, 2)) this.#learn(view, 2)
  }

  /** The command calls a script that writes nothing. */
  isCalled(spec: CommandSpec, view: CommandView): boolean {
    if (view.argc < 2) return false
    const named = (): string => view.buf.toString('latin1', view.start[1]!, view.end[1]!)
    switch (spec.name) {
      case 'EVAL':
        if (!saysNoWrites(view, 1)) return false
        this.#learn(view, 1)
        return true
      case 'EVALSHA':
        return this.#shas.has(named().toLowerCase())
      case 'FCALL':
        return this.#isReadOnlyFunction(named())
      default:
        return false
    }
  }

  #learn({ buf, start, end }: CommandView, i: number): void {
    if (this.#shas.size >= MAX_KNOWN) this.#shas.clear()
    this.#shas.add(createHash('sha1').update(buf.subarray(start[i]!, end[i]!)).digest('hex'))
  }
}

/** Forgotten all at once: a call is then taken for a write until the source is seen again. */
const MAX_KNOWN = 5_000
