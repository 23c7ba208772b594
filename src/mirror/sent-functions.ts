import type { Args } from '../command/effects.ts'
import { digestOf, libraryNameIn } from './function-list.ts'

/** A library as it was sent last. */
interface SentLibrary {
  /** Of its source; null: it has been deleted since. */
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
    this.#libraries.delete(libraryAt(shadow, source) ?? '')
  }

  /** These and no others are the same at the shadow and the primary. */
  compared(shadow: string, same: readonly { readonly name: string; readonly code: Buffer }[]): void {
    for (const [at, { underWay }] of this.#libraries)
      if (at.startsWith(`${shadow} `) && underWay === 0) this.#libraries.delete(at)
    for (const { name, code } of same) {
      const at = `${shadow} ${name}`
      if (!this.#libraries.has(at)) this.#libraries.set(at, { digest: digestOf(code), underWay: 0 })
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
