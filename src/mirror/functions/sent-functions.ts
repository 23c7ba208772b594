import type { Args } from '../../command/effects.ts'
import { digestOf, libraryNameIn } from './function-list.ts'

/** A library as it was sent last. */
interface SentLibrary {
  /** Of its source; null: it has been deleted since, or not got there. */
  digest: string | null
  /** How many of its sources the shadow has not answered yet. */
  underWay: number
}

/**
 * Which sources of libraries the shadows have, as far as is known: those that they have confirmed, and those that were compared. A call is run again only there.
 *
 *   LOAD succeeds on the primary ─▶ sent, on the connection of database 0 ─┬─ OK ────▶ there
 *                                        calls of database 0: behind it    └─ refused, lost: not known
 */
export class SentFunctions {
  /** By `libraryAt`. */
  readonly #libraries = new Map<string, SentLibrary>()

  /** The command has succeeded on the primary and is to be sent to that shadow. */
  sent(name: string, args: Args, shadow: string): void {
    if (name === 'FUNCTION LOAD') {
      const source = args.at(-1)!
      const at = libraryAt(shadow, source)
      if (at === null) return
      if (this.#libraries.size >= MAX_LIBRARIES) this.#libraries.clear()
      const underWay = (this.#libraries.get(at)?.underWay ?? 0) + 1
      this.#libraries.set(at, { digest: digestOf(source), underWay })
    } else if (name === 'FUNCTION DELETE') {
      const library = this.#libraries.get(`${shadow} ${args[2]!.toString('latin1')}`)
      if (library !== undefined) library.digest = null
    } else for (const library of this.#libraries.values()) library.digest = null
  }

  /** The shadow has loaded the source. */
  confirmed(shadow: string, source: Buffer): void {
    const library = this.#libraries.get(libraryAt(shadow, source) ?? '')
    if (library !== undefined && library.underWay > 0) library.underWay--
  }

  /** It has not, or nobody knows. */
  failed(shadow: string, source: Buffer): void {
    const at = libraryAt(shadow, source)
    if (at !== null) this.#libraries.set(at, { digest: null, underWay: 0 })
  }

  /** These sources and no others are the same at the shadow and the primary. Of libraries that were not sent from here somebody else looks after, and may change them at any time. */
  compared(shadow: string, same: ReadonlyMap<string, Buffer>): void {
    for (const [at, library] of this.#libraries) {
      if (!at.startsWith(`${shadow} `) || library.underWay > 0) continue
      const code = same.get(at.slice(shadow.length + 1))
      library.digest = code === undefined ? null : digestOf(code)
    }
  }

  /** What is sent now, for a client's database, meets this very library. */
  has(shadow: string, library: string, digest: string, database: number): boolean {
    const known = this.#libraries.get(`${shadow} ${library}`)
    return known?.digest === digest && (database === 0 || known.underWay === 0)
  }
}

function libraryAt(shadow: string, source: Buffer): string | null {
  const library = libraryNameIn(source)
  return library === null ? null : `${shadow} ${library}`
}

/** Forgotten all at once: the keys of their functions are copied then. */
const MAX_LIBRARIES = 10_000
