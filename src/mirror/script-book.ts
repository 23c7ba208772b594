import { createHash } from 'node:crypto'
import { analyseScript, type ScriptFacts } from '../command/script-analysis.ts'
import type { CommandTable } from '../command/table.ts'
import type { Pipeline } from '../upstream/pipeline.ts'

/** A script whose source has been seen. */
export interface KnownScript {
  readonly sha: string
  readonly source: Buffer
  readonly facts: ScriptFacts
}

/** Sources of scripts that clients have sent, what can be told of them, and where they have been loaded. Bounded: the longest unused goes. */
export class ScriptBook {
  readonly #bySha = new Map<string, KnownScript>()
  readonly #bySource = new Map<string, KnownScript>()
  #loaded = new WeakMap<Pipeline, Set<string>>()
  #bytes = 0

  /** The script of this source (a view), read when it is seen for the first time. */
  learn(source: Buffer, commands: CommandTable): KnownScript {
    const text = source.toString('latin1')
    const known = this.#bySource.get(text)
    if (known !== undefined) {
      this.#bySource.delete(text)
      this.#bySource.set(text, known)
      return known
    }
    const sha = createHash('sha1').update(source).digest('hex')
    const script = { sha, source: Buffer.from(source), facts: analyseScript(text, commands) }
    this.#bySource.set(text, script)
    this.#bySha.set(sha, script)
    this.#bytes += source.length
    this.#shrink()
    return script
  }

  /** `sha` in whatever case. */
  bySha(sha: string): KnownScript | undefined {
    return this.#bySha.get(sha.toLowerCase())
  }

  /** Whether the script has to be loaded on this connection's server before it is called there; if so, it is taken for loaded from now on. */
  needsLoading(pipeline: Pipeline, sha: string): boolean {
    let shas = this.#loaded.get(pipeline)
    if (shas === undefined) this.#loaded.set(pipeline, (shas = new Set()))
    if (shas.has(sha)) return false
    shas.add(sha)
    return true
  }

  /** A connection was lost, a cache was flushed, or a server did not know a script: all are loaded again. */
  forgetLoaded(): void {
    this.#loaded = new WeakMap()
  }

  #shrink(): void {
    for (const [text, { sha, source }] of this.#bySource) {
      if (this.#bySource.size <= MAX_SCRIPTS && this.#bytes <= MAX_BYTES) return
      this.#bySource.delete(text)
      this.#bySha.delete(sha)
      this.#bytes -= source.length
    }
  }
}

const MAX_SCRIPTS = 2_000
const MAX_BYTES = 16 * 1024 * 1024
