import { codeOf } from '../stores/store-errors.ts'

/** A library as one of the stores has it. */
export interface FunctionLibrary {
  readonly code: Buffer
  /** Names. */
  readonly functions: ReadonlySet<string>
}

/** A source that the shadow does not take. */
interface RefusedSource {
  readonly wanted: Buffer
  /** What it had under that name when it first said so; null: nothing. */
  readonly had: Buffer | null
}

/** What the shadow refuses where it is given the primary's functions: told to people, who have to see to it, and kept to know when they have. */
export class FunctionRefusals {
  #libraries: readonly string[] = []
  #because: string | null = null
  /** By name: the source that was refused last. */
  readonly #sources = new Map<string, RefusedSource>()

  /** Names of those that it does not take; none: it may be a deletion that it refuses. */
  get libraries(): readonly string[] {
    return this.#libraries
  }

  /** The code of the first refusal; null: nothing is refused. */
  get because(): string | null {
    return this.#because
  }

  /** By the last attempt. `error`: the first one; null: it went well. Errors may quote a script: only the code is kept. */
  attempted(libraries: readonly string[], error: string | null): void {
    this.#libraries = libraries
    this.#because = error === null ? null : codeOf(error)
  }

  /** It has refused the primary's source of a library. `had`: what it has under that name; null: nothing. */
  refused(library: string, wanted: Buffer, had: Buffer | null): void {
    if (this.#sources.get(library)?.wanted.equals(wanted) !== true) this.#sources.set(library, { wanted, had })
  }

  /** Somebody has loaded a library of the same functions since the shadow has refused the primary's: written for that server, it is taken to do the same. What it had before may be an older one. */
  standsFor(library: string, found: FunctionLibrary | undefined, { code, functions }: FunctionLibrary): boolean {
    const refusal = this.#sources.get(library)
    if (found === undefined || refusal === undefined || !refusal.wanted.equals(code)) return false
    if (refusal.had?.equals(found.code) || found.functions.size !== functions.size) return false
    return [...functions].every((name) => found.functions.has(name))
  }

  /** It is another server's turn to be the shadow. */
  clear(): void {
    this.attempted([], null)
    this.#sources.clear()
  }
}
