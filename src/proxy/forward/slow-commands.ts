import { keptCopy } from '../../base/kept-copy.ts'
import { isOfMainThread } from '../../mirror/crash/run-name.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { isOwnWord } from '../../resp/own-words.ts'
import type { Reply } from '../../resp/reply.ts'
import type { InFlight } from '../../upstream/pipeline/in-flight.ts'
import { LATE_MS } from '../../upstream/pipeline/reply-run.ts'
import { oldestOf } from '../../upstream/pipeline/shared-place.ts'
import type { Session } from '../session/session.ts'

interface SlowCommand {
  /** The client at the time. */
  readonly address: string
  readonly name: string
  /** The client's bytes, as many as are kept. */
  readonly bytes: Buffer
}

/**
 * Who sent the commands that took long: SLOWLOG names the connection that a command came by, which all clients share. Of replies that arrive together only the first is noted, for the others
 * have waited behind it.
 */
export class SlowCommands {
  readonly #newest: SlowCommand[] = []
  #lastMs = Number.NEGATIVE_INFINITY

  /** A reply came `LATE_MS` or later. */
  note(session: Session, slot: InFlight, nowMs: number): void {
    const isFirst = nowMs - this.#lastMs >= LATE_MS
    this.#lastMs = nowMs
    if (!isFirst || slot.chunk === null) return
    const { original } = slot
    const buf = original ?? slot.chunk.buf
    const [start, end] =
      original !== null ? [0, original.length] : slot.isShared ? oldestOf(slot) : [slot.start, slot.end]
    if (end - start > MAX_BYTES) return
    this.#newest.unshift({
      address: session.remote,
      name: session.name,
      bytes: keptCopy(buf, start, end),
    })
    if (this.#newest.length > MAX_KEPT) this.#newest.pop()
  }

  /** The reply to SLOWLOG GET with the clients in it, as far as they are known, and without Understudy's own. Entries: `[id, time, us, [argument ...], address, name]`. */
  named(reply: Reply): Reply {
    if (!Array.isArray(reply)) return reply
    const left = [...this.#newest]
    return reply.filter(isOfClient).map((entry: Reply) => {
      if (!Array.isArray(entry) || entry.length < 6 || !Array.isArray(entry[3])) return entry
      const at = left.findIndex(({ bytes }) => isShownAs(bytes, entry[3] as readonly Reply[]))
      if (at === -1) return entry
      const [{ address, name }] = left.splice(at, 1) as [SlowCommand]
      return [...entry.slice(0, 4), Buffer.from(address), Buffer.from(name), ...entry.slice(6)]
    })
  }
}

/** The probes of Understudy's main thread come by connections with names of their own; what else it asks for itself is told by its spelling. */
function isOfClient(entry: Reply): boolean {
  if (!Array.isArray(entry)) return true
  const [, , , args, , name] = entry as readonly Reply[]
  if (Buffer.isBuffer(name) && isOfMainThread(name.toString('latin1'))) return false
  const [word] = Array.isArray(args) ? (args as readonly Reply[]) : []
  return !Buffer.isBuffer(word) || !isOwnWord(word.toString('latin1'))
}

/** Redis shows 32 arguments and 128 bytes of each, and hides passwords. */
function isShownAs(bytes: Buffer, shown: readonly Reply[]): boolean {
  parser.parse(bytes, 0, bytes.length)
  if (parser.argc !== shown.length && (shown.length < MAX_SHOWN || parser.argc < MAX_SHOWN)) return false
  return shown.every((reply, i) => {
    if (!Buffer.isBuffer(reply)) return false
    const cut = reply.toString('latin1').replace(/^\(redacted\)$|\.\.\. \(\d+ more (bytes|arguments)\)$/, '')
    return parser.buf.toString('latin1', parser.start[i]!, parser.end[i]!).startsWith(cut)
  })
}

const parser = new CommandParser()
const MAX_KEPT = 128
const MAX_BYTES = 8 * 1024
const MAX_SHOWN = 32
