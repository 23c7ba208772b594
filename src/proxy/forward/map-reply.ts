import { findKeys, KeyPositions } from '../../command/keys.ts'
import { mapReplyKeys } from '../../command/reply-keys.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { MINUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeReply } from '../../resp/encode.ts'
import { ErrorReply, MapReply, type Reply, SetReply } from '../../resp/reply.ts'
import { markedPage } from '../../routing/element-cursor.ts'
import { mayTellNames } from '../../routing/plan-script.ts'
import type { Route } from '../../routing/route.ts'
import type { InFlight } from '../../upstream/pipeline/in-flight.ts'
import type { DataPath } from '../data-path.ts'
import { mapKeyspaceReply } from '../keyspace/keyspace-commands.ts'
import { isMalformed } from '../session/malformed.ts'

const parser = new CommandParser()
const positions = new KeyPositions()

/** The reply with the keys of the command under the application's names, or its cursor with its mark; null: it has none, the bytes go out as they came. */
export function mapReply(
  path: DataPath,
  slot: InFlight,
  buf: Buffer,
  start: number,
  end: number,
  protocol: 2 | 3,
): Buffer | null {
  const { spec } = slot
  if (spec!.handling === 'elements') return markedPage((slot.route as Route).cursorMarks, buf, start, end)
  return mapReplyOf(path, spec!, slot.original!, buf, start, end, protocol)
}

/**
 * The same for an application's command on its own. A reply can only name keys that the command named, so the names it was sent with are looked
 * up, not undone.
 */
export function mapReplyOf(
  path: DataPath,
  spec: CommandSpec,
  command: Buffer,
  buf: Buffer,
  start: number,
  end: number,
  protocol: 2 | 3,
): Buffer | null {
  parser.parse(command, 0, command.length)
  if (spec.handling === 'keyspace') return mapAll(path, spec, buf, start, end, protocol)
  findKeys(spec, parser, positions)
  if (buf[start] !== MINUS && spec.replyKeys === null && !tells(path, spec, command)) return null
  const names = new Map<string, Buffer>()
  for (let i = 0; i < positions.count; i++) {
    const arg = positions.index[i]!
    const from = parser.start[arg]!
    const to = parser.end[arg]!
    const renamed = path.routes.find(command, from, to).primary?.apply(command, from, to)
    if (renamed != null) names.set(renamed.toString('latin1'), Buffer.from(command.subarray(from, to)))
  }
  if (names.size === 0) return null
  if (buf[start] === MINUS) return mapError(names, buf, start, end)
  const reply = decoded(buf, start, end)
  if (reply === undefined) return null
  const mapped =
    spec.replyKeys === null
      ? withNames(reply, names)
      : mapReplyKeys(spec, [], reply, (key) => names.get(key.toString('latin1')) ?? key)
  return mapped === null ? null : encodeReply(mapped, protocol)
}

/** The script or function that `parser` holds may tell names of its keys, which `positions` holds. */
function tells({ routes, plan }: DataPath, spec: CommandSpec, command: Buffer): boolean {
  if (positions.count === 0) return false
  const arg = positions.index[0]!
  const { primary } = routes.find(command, parser.start[arg]!, parser.end[arg]!).route
  return mayTellNames(spec, parser, plan.functions, primary.storeName)
}

/** A script's reply, wherever in it a name of its keys stands by itself, or is quoted by an error; null: nowhere. */
function withNames(reply: Reply, names: ReadonlyMap<string, Buffer>): Reply | null {
  if (Buffer.isBuffer(reply)) return names.get(reply.toString('latin1')) ?? null
  if (reply instanceof ErrorReply) {
    const text = withQuotedNames(reply.text, names)
    return text === reply.text ? null : new ErrorReply(text)
  }
  const all = (list: readonly Reply[]): Reply[] | null => {
    const mapped = list.map((one) => withNames(one, names))
    return mapped.every((one) => one === null) ? null : mapped.map((one, i) => one ?? list[i]!)
  }
  if (reply instanceof SetReply) {
    const members = all(reply.members)
    return members === null ? null : new SetReply(members)
  }
  if (reply instanceof MapReply) {
    const flat = all(reply.entries.flat())
    return flat === null ? null : new MapReply(reply.entries.map((_, i) => [flat[2 * i]!, flat[2 * i + 1]!] as const))
  }
  return Array.isArray(reply) ? all(reply as readonly Reply[]) : null
}

/** An error with the names that it quotes given back: `'step:1'` becomes `'job:1'`. */
function mapError(names: ReadonlyMap<string, Buffer>, buf: Buffer, start: number, end: number): Buffer | null {
  const text = buf.toString('latin1', start, end)
  const mapped = withQuotedNames(text, names)
  return mapped === text ? null : Buffer.from(mapped, 'latin1')
}

function withQuotedNames(text: string, names: ReadonlyMap<string, Buffer>): string {
  let mapped = text
  for (const [name, key] of names) {
    // The first only: what follows may be a group or a consumer that is called alike.
    mapped = mapped.replace(`'${inOneLine(name)}'`, () => `'${inOneLine(key.toString('latin1'))}'`)
  }
  return mapped
}

/** As a server writes it into an error: to the first NUL, which ends a string in C. */
function inOneLine(text: string): string {
  return text.replace(/\0.*/s, '').replace(/[\r\n]/g, ' ')
}

/** A command about all keys, which `parser` holds. */
function mapAll(
  path: DataPath,
  spec: CommandSpec,
  buf: Buffer,
  start: number,
  end: number,
  protocol: 2 | 3,
): Buffer | null {
  const reply = decoded(buf, start, end)
  const mapped = reply === undefined ? undefined : mapKeyspaceReply(path, spec, parser, reply)
  return mapped === undefined ? null : encodeReply(mapped, protocol)
}

/** undefined: malformed. */
function decoded(buf: Buffer, start: number, end: number): Reply | undefined {
  try {
    return decodeReply(buf, start, end)
  } catch (error) {
    if (isMalformed(error)) return undefined
    throw error
  }
}
