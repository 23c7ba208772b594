import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { MapReply, type Reply } from '../../resp/reply.ts'

/** How often which command was answered here, which the store knows nothing of: for LATENCY HISTOGRAM. Bounded by the number of such commands. */
export class LocalCalls {
  readonly #calls = new Map<string, number>()

  count({ name }: CommandSpec): void {
    this.#calls.set(name, (this.#calls.get(name) ?? 0) + 1)
  }

  /** CONFIG RESETSTAT */
  reset(): void {
    this.#calls.clear()
  }

  /** The reply to LATENCY HISTOGRAM, `asked` being the names in it (none: all), with what was answered here. None of these takes a microsecond's bucket more than the first. */
  added(reply: Reply, asked: readonly string[], protocol: 2 | 3): Reply {
    const isAsked = (name: string): boolean =>
      asked.length === 0 || asked.some((one) => name === one || name.startsWith(`${one}|`))
    const told = entriesOf(reply)
    if (told === null) return reply
    // What Understudy has said for itself on its connections is no client's.
    const entries = told.filter(([name]) => !(Buffer.isBuffer(name) && name.toString('latin1').startsWith(OWN)))
    for (const [command, calls] of this.#calls) {
      const name = command.toLowerCase().replace(' ', '|')
      if (!isAsked(name)) continue
      const buckets = pairs([[1, calls]], protocol)
      const histogram = pairs(
        [
          [Buffer.from('calls'), calls],
          [Buffer.from('histogram_usec'), buckets],
        ],
        protocol,
      )
      const at = entries.findIndex(([other]) => Buffer.isBuffer(other) && other.toString('latin1') === name)
      if (at !== -1) entries.splice(at, 1)
      entries.push([Buffer.from(name), histogram])
    }
    return pairs(entries, protocol)
  }
}

/** Of all of these the calls are counted here. */
const OWN = 'client|'

/** The names that LATENCY HISTOGRAM asks for, as the reply has them. */
export function histogramsAsked({ buf, start, end, argc }: CommandView): string[] {
  const names: string[] = []
  for (let i = 2; i < argc; i++) names.push(buf.toString('latin1', start[i]!, end[i]!).toLowerCase())
  return names
}

/** Of a map, in either protocol's shape. */
function entriesOf(reply: Reply): (readonly [Reply, Reply])[] | null {
  if (reply instanceof MapReply) return [...reply.entries]
  if (!Array.isArray(reply)) return null
  const items = reply as readonly Reply[]
  const entries: [Reply, Reply][] = []
  for (let i = 0; i + 1 < items.length; i += 2) entries.push([items[i]!, items[i + 1]!])
  return entries
}

function pairs(entries: readonly (readonly [Reply, Reply])[], protocol: 2 | 3): Reply {
  return protocol === 3 ? new MapReply(entries) : entries.flat()
}
