import { createHash } from 'node:crypto'
import { keptCopy } from '../../base/kept-copy.ts'
import type { CommandTable } from '../table.ts'
import { analyseScript } from './script-analysis.ts'
import type { ScriptFacts } from './script-facts.ts'

/** A script whose source has been seen. */
export class KnownScript {
  readonly sha: string
  /** As the application sent it. */
  readonly source: Buffer
  /** The application takes it for known to its server: it has sent the source, and no SCRIPT FLUSH since. */
  isLoaded = false
  /** Again, since it was learnt or the last time that there was no room. */
  isUsed = false
  readonly #json: JsonSettings
  #facts: ScriptFacts | null = null
  #factsOfChanged: ScriptFacts | null = null

  constructor(sha: string, source: Buffer, json: JsonSettings) {
    this.sha = sha
    this.source = source
    this.#json = json
  }

  /** What can be told of it: read when somebody asks for the first time. */
  factsBy(commands: CommandTable): ScriptFacts {
    this.#facts ??= analyseScript(this.source.toString('latin1'), commands)
    if (!this.#json.areChanged || this.#facts.varies !== null || !this.source.includes('cjson')) return this.#facts
    return (this.#factsOfChanged ??= { ...this.#facts, varies: JSON_IS_CHANGED })
  }
}

/** A server keeps what a script says by `cjson.encode_number_precision(3)` and its like for all scripts that come after; another server, or one that has been restarted, need not have it. */
interface JsonSettings {
  areChanged: boolean
}

/** Sources of scripts that clients have sent, in whatever phase. Bounded: what has not been used for the longest time goes. */
export class ScriptBook {
  readonly #bySha = new Map<string, KnownScript>()
  /** So that a source that comes with every call is compared with the one that it most likely is, instead of hashed as a whole. */
  readonly #byPrint = new Map<number, KnownScript>()
  #bytes = 0
  readonly #json: JsonSettings = { areChanged: false }
  /** Of those that are too large to be kept, the last one, for as long as there is memory: what is known of it is asked for several times. */
  #large: WeakRef<KnownScript> | null = null

  /** The script whose source is `buf[start .. end)`, a view: the application's server knows it from now on. */
  learn(buf: Buffer, start: number, end: number): KnownScript {
    const script = this.read(buf, start, end)
    script.isLoaded = true
    return script
  }

  /** The same, where the server need not know it any more. */
  read(buf: Buffer, start: number, end: number): KnownScript {
    const print = fingerprint(buf, start, end)
    const likely = this.#byPrint.get(print)
    if (likely !== undefined && likely.source.compare(buf, start, end) === 0) return used(likely)
    const large = this.#large?.deref()
    if (large?.source.compare(buf, start, end) === 0) return large
    const source = buf.subarray(start, end)
    const sha = createHash('sha1').update(source).digest('hex')
    const known = this.#bySha.get(sha)
    if (known !== undefined) {
      this.#byPrint.set(print, known)
      return used(known)
    }
    const script = new KnownScript(sha, keptCopy(source, 0, source.length), this.#json)
    this.#json.areChanged ||= mayChangeJson(source)
    if (source.length > MAX_SOURCE_BYTES) {
      this.#large = new WeakRef(script)
      return script
    }
    this.#byPrint.set(print, script)
    this.#bySha.set(sha, script)
    this.#bytes += source.length
    this.#shrink(script)
    return script
  }

  /** `sha` in whatever case. */
  bySha(sha: string): KnownScript | undefined {
    const script = this.#bySha.get(sha.toLowerCase())
    if (script !== undefined) script.isUsed = true
    return script
  }

  /** SCRIPT FLUSH: the application does not count on any of them any more. What they do is known all the same. */
  unload(): void {
    for (const script of this.#bySha.values()) script.isLoaded = false
  }

  /** The oldest go, but for those that were used since the last time: these get one more round. `newest`: what needs the room. */
  #shrink(newest: KnownScript): void {
    for (const [sha, script] of this.#bySha) {
      if (this.#bySha.size <= MAX_SCRIPTS && this.#bytes <= MAX_BYTES) return
      this.#bySha.delete(sha)
      if (script.isUsed || script === newest) {
        script.isUsed = false
        this.#bySha.set(sha, script)
        continue
      }
      this.#bytes -= script.source.length
      const print = fingerprint(script.source, 0, script.source.length)
      if (this.#byPrint.get(print) === script) this.#byPrint.delete(print)
    }
  }
}

/** The source may say how cjson is to write and read from now on. Scripts and functions each have their own of it. */
export function mayChangeJson(source: Buffer): boolean {
  return (source.includes('encode_') || source.includes('decode_')) && CHANGES_JSON.test(source.toString('latin1'))
}

function used(script: KnownScript): KnownScript {
  script.isUsed = true
  return script
}

/** Of a few of its bytes. Scripts that differ elsewhere share it, and then only the last of them is found without a hash of the whole. */
function fingerprint(buf: Buffer, start: number, end: number): number {
  const length = end - start
  const step = (length >> 5) + 1
  let print = length
  for (let i = start; i < end; i += step) print = (Math.imul(print, 31) + buf[i]!) | 0
  for (let i = Math.max(start, end - 16); i < end; i++) print = (Math.imul(print, 31) + buf[i]!) | 0
  return print
}

/** Why what uses cjson need not do the same on another server. */
export const JSON_IS_CHANGED = 'a script has changed how cjson writes and reads'
const CHANGES_JSON = /(?:encode|decode)_(?:sparse|max|number|keep|invalid|array)/
const MAX_SCRIPTS = 2_000
const MAX_BYTES = 16 * 1024 * 1024
const MAX_SOURCE_BYTES = MAX_BYTES / 16
