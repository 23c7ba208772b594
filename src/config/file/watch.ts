import { createHash } from 'node:crypto'
import { constants, type FSWatcher, watch } from 'node:fs'
import { readFile, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MAX_FILE_BYTES } from '../../base/read-file.ts'

export interface WatchOptions {
  /** How often the file is looked at when nothing announced a change (network file systems, exhausted inotify). */
  readonly pollMs?: number
  /** A change counts when the file has been still for so long: editors and copies write in several steps. */
  readonly settleMs?: number
  /** What the caller knows already. Default: what stands in the file when watching begins. */
  readonly known?: string
  /** The file has been missing, unreadable or none (a folder) for `goneMs`. Once each time: editors and copies take one away for a moment only. */
  readonly onGone?: () => void
  readonly goneMs?: number
}

export interface FileWatch {
  close(): void
}

/**
 * Calls back with the new text whenever the content of a file has changed, however that came about:
 *
 *     written in place            the file's own time or size changes
 *     replaced by rename          another inode under the same name: the directory is watched, not the file
 *     mounted by Kubernetes       config.yaml -> ..data/config.yaml, ..data -> ..2026_01/; one rename of `..data` swaps them all
 *     a link to another folder    that folder is watched as well
 *
 * A file that is missing, cannot be read or is none (a pipe, a folder) is waited for, and called back for when it is there again, whatever it says. Does not keep the process alive.
 */
export function watchFile(path: string, onChange: (text: string) => void, options: WatchOptions = {}): FileWatch {
  const watcher = new Watcher(path, onChange, options)
  watcher.start()
  return watcher
}

class Watcher implements FileWatch {
  readonly #path: string
  readonly #onChange: (text: string) => void
  readonly #pollMs: number
  readonly #settleMs: number
  readonly #folders = new Map<string, FSWatcher>()
  #poll: NodeJS.Timeout | null = null
  #soon: NodeJS.Timeout | null = null
  #checking = false
  #announced = false
  #closed = false
  readonly #onGone: () => void
  readonly #goneMs: number
  /** When it is told that the file cannot be read; null: it could be. Somebody may have tried meanwhile, and is to be told that it is there again. */
  #tellGoneAtMs: number | null = null
  /** Digest of the content last known; null: none yet. */
  #known: string | null
  /** What the file looked like from outside when that content was read, and when it was last seen moving. */
  #knownLook = ''
  #movingLook = ''

  constructor(path: string, onChange: (text: string) => void, options: WatchOptions) {
    const { pollMs = 2000, settleMs = 100, known, onGone = () => {}, goneMs = 10_000 } = options
    this.#path = path
    this.#onChange = onChange
    this.#pollMs = pollMs
    this.#settleMs = settleMs
    this.#known = known === undefined ? null : digest(known)
    this.#onGone = onGone
    this.#goneMs = goneMs
  }

  start(): void {
    this.#poll = setInterval(() => void this.#check(), this.#pollMs).unref()
    void this.#check()
  }

  close(): void {
    this.#closed = true
    if (this.#poll !== null) clearInterval(this.#poll)
    if (this.#soon !== null) clearTimeout(this.#soon)
    for (const watcher of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  /** Not restarted by further events: other files in the folder may never be still. */
  #checkSoon(): void {
    if (this.#closed || this.#soon !== null) return
    this.#soon = setTimeout(() => {
      this.#soon = null
      void this.#check()
    }, this.#settleMs).unref()
  }

  async #check(): Promise<void> {
    if (this.#checking) {
      this.#announced = true
      return
    }
    this.#checking = true
    try {
      await this.#watchFolders()
      const look = await lookOf(this.#path)
      if (this.#closed) return
      if (look === null) return this.#isGone()
      if (look === this.#knownLook && this.#tellGoneAtMs === null) return
      // The first look is the caller's own state; later ones count once they hold still.
      if (this.#known !== null && look !== this.#movingLook) {
        this.#movingLook = look
        this.#checkSoon()
        return
      }
      const text = await textOf(this.#path, look)
      if (this.#closed) return
      this.#knownLook = look
      const content = digest(text)
      const changed = this.#known !== null && (content !== this.#known || this.#tellGoneAtMs !== null)
      this.#known = content
      this.#tellGoneAtMs = null
      if (changed) this.#onChange(text)
    } catch {
      // Missing for a moment, or not readable: the next event or poll looks again.
      this.#isGone()
    } finally {
      this.#checking = false
      if (this.#announced) {
        this.#announced = false
        this.#checkSoon()
      }
    }
  }

  #isGone(): void {
    const nowMs = performance.now()
    this.#tellGoneAtMs ??= nowMs + this.#goneMs
    if (this.#closed || nowMs < this.#tellGoneAtMs) return
    this.#tellGoneAtMs = TOLD
    this.#onGone()
  }

  /** The folder of the name, and the folder of the file that the name leads to now. */
  async #watchFolders(): Promise<void> {
    const wanted = new Set([dirname(this.#path)])
    try {
      wanted.add(dirname(await realpath(this.#path)))
    } catch {
      // Not there: its folder will tell when it comes.
    }
    if (this.#closed) return
    for (const [folder, watcher] of this.#folders) {
      if (wanted.has(folder)) continue
      watcher.close()
      this.#folders.delete(folder)
    }
    for (const folder of wanted) if (!this.#folders.has(folder)) this.#watchFolder(folder)
  }

  #watchFolder(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#checkSoon())
      // The folder is gone, or the system has no watches left: polling goes on.
      watcher.on('error', () => {
        watcher.close()
        this.#folders.delete(folder)
      })
      this.#folders.set(folder, watcher)
    } catch {
      // As above; tried again with the next poll.
    }
  }
}

/** Of `#tellGoneAtMs`: it has been told. */
const TOLD = Number.POSITIVE_INFINITY

/** A pipe that has taken the file's place meanwhile is empty: opened otherwise it would be waited for until somebody writes to it, and the process could not end. */
const WITHOUT_WAITING = constants.O_RDONLY | constants.O_NONBLOCK

/** Of one that is too large to be a configuration only what it looks like: whoever is called back will not read it, either. */
async function textOf(path: string, look: string): Promise<string> {
  const { size } = await stat(path)
  return size > MAX_FILE_BYTES ? look : readFile(path, { encoding: 'utf8', flag: WITHOUT_WAITING })
}

/** Everything that changes from outside when a file is written or replaced; null: there is none, or something that is no file. */
async function lookOf(path: string): Promise<string | null> {
  try {
    const found = await stat(path, { bigint: true })
    if (!found.isFile()) return null
    const { dev, ino, size, mtimeNs, ctimeNs } = found
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
  } catch {
    return null
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
