import { closeSync, existsSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/**
 * How the last run ended: `none`: there was none. `stopped`: all that was known is on disk. `crashed`: the intent log tells what was being written. `incomplete`: something was being written of
 * which nothing was noted.
 */
export type LastRun = 'none' | 'stopped' | 'crashed' | 'incomplete'

/**
 * A file beside the segments of the intent log that says whether the log can be relied on. It is there while it can: so a full disk, where nothing can be written, is remembered by
 * removing it.
 */
export class RunMarker {
  readonly #path: string
  readonly #dir: string

  /** `dir`: of the intent log; need not exist. */
  constructor(dir: string) {
    this.#dir = dir
    this.#path = join(dir, 'intact')
  }

  lastRun(): LastRun {
    if (!existsSync(this.#dir)) return 'none'
    if (!existsSync(this.#path)) return 'incomplete'
    const text = readFileSync(this.#path, 'utf8')
    if (text === STOPPED) return 'stopped'
    // Of another boot: the machine ended, and took with it what was not synced.
    return text === running(true) ? 'crashed' : 'incomplete'
  }

  /** A run begins. `logged`: intents will be. Throws what the file system throws. */
  started(logged: boolean): void {
    this.#write(running(logged))
  }

  /** Nothing is in flight, and the dirty set is on disk. */
  stopped(): void {
    this.#write(STOPPED)
  }

  /** What is being written cannot be noted. */
  broken(): void {
    rmSync(this.#path, { force: true })
  }

  #write(text: string): void {
    const file = openSync(this.#path, 'w', 0o600)
    try {
      writeSync(file, text)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
  }
}

const STOPPED = 'stopped\n'

function running(logged: boolean): string {
  return `running ${logged ? 'logged' : 'unlogged'} ${bootId()}\n`
}

/** Another one after each start of the machine; where there is none the end of the machine is not noticed. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return 'unknown'
  }
}
