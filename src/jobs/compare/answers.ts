import { shownCode } from '../../compare/classify.ts'
import { isUnknownCommand } from '../../mirror/stores/store-errors.ts'
import { ErrorReply, type Reply, SimpleReply } from '../../resp/reply.ts'

/** A key cannot be compared now: it is tried again, and told when that does not help. */
export class Unsettled extends Error {}

type Shape = (reply: Reply) => boolean

const isNumber: Shape = (reply) => typeof reply === 'number' || typeof reply === 'bigint'
const isText: Shape = (reply) => reply === null || Buffer.isBuffer(reply)
const isList: Shape = (reply) => Array.isArray(reply)
const areNumbers: Shape = (reply) => Array.isArray(reply) && reply.every(isNumber)

/** What each read is answered with (`inResp2`), if not with an error. */
const SHAPES: Readonly<Record<string, Shape>> = {
  TYPE: (reply) => reply instanceof SimpleReply,
  ...each(isNumber, 'PTTL PEXPIRETIME STRLEN LLEN SCARD HLEN ZCARD XLEN VCARD SISMEMBER'),
  ...each(isText, 'GET GETRANGE ZSCORE VGETATTR'),
  ...each(isList, 'LRANGE ZRANGE ZMSCORE SMEMBERS HGETALL HMGET XRANGE'),
  ...each(areNumbers, 'SMISMEMBER HPEXPIRETIME'),
}

/** Throws Unsettled where the answer says nothing about the key. What is not understood on both sides would be the same on both. */
export function understood(command: string, reply: Reply): void {
  if (reply instanceof ErrorReply) throw new Unsettled(`a store answers ${command} with ${shownCode(reply)}`)
  if (SHAPES[command]?.(reply) !== true) throw unknownShape(command)
}

export function typeOf(reply: Reply | undefined): string {
  if (reply instanceof SimpleReply) return reply.text
  throw new Unsettled(reply instanceof ErrorReply ? `a store answers TYPE with ${reply.code}` : 'TYPE has no answer')
}

/** `[cursor, [element ...]]` */
export function scanned(command: string, reply: Reply): { readonly next: string; readonly items: readonly Buffer[] } {
  const [next, items] = listOf(command, reply)
  if (!Buffer.isBuffer(next)) throw unknownShape(command)
  return { next: next.toString('latin1'), items: buffersIn(command, items) }
}

/** The names among names and values in turn. */
export function fieldsIn(command: string, reply: Reply): Buffer[] {
  const flat = buffersIn(command, reply)
  if (flat.length % 2 !== 0) throw unknownShape(command)
  return flat.filter((_, i) => i % 2 === 0)
}

/** The ID of the last of XRANGE's entries; null: there are fewer than `count`, so it is the end. */
export function lastIdOf(reply: Reply, count: number): string | null {
  const entries = listOf('XRANGE', reply)
  if (entries.length < count) return null
  const [id] = listOf('XRANGE', entries.at(-1))
  if (!Buffer.isBuffer(id)) throw unknownShape('XRANGE')
  return id.toString('latin1')
}

/** What XINFO tells of a stream or a group, by its words. */
export type Facts = ReadonlyMap<string, string>

/** Of XINFO STREAM what is data, not memory layout. Since 7.0 there are more. */
const STREAM_FACTS = ['length', 'last-generated-id', 'groups']
const NEWER_FACTS = ['max-deleted-entry-id', 'entries-added']
const GROUP_FACTS = ['name', 'last-delivered-id', 'pending']
/** Nil where the server works it out when it is asked for, as it does behind every read that is mirrored (`XGROUP SETID`): then nothing is told. */
const NEWER_GROUP_FACTS = ['entries-read']

/** That nothing was deleted a stream also says that was loaded from before 7.0 with deleted entries, and its copy has no such past: then nothing is told. */
export function streamFacts(reply: Reply): Facts {
  const facts = factsIn('XINFO STREAM', reply, STREAM_FACTS, NEWER_FACTS)
  if (facts.get('max-deleted-entry-id') === '0-0') facts.delete('max-deleted-entry-id')
  return facts
}

/** XINFO GROUPS by the groups' names (latin1). */
export function groupsOf(reply: Reply): Map<string, Facts> {
  const groups = listOf('XINFO GROUPS', reply).map((group) =>
    factsIn('XINFO GROUPS', group, GROUP_FACTS, NEWER_GROUP_FACTS),
  )
  return new Map(groups.map((facts) => [facts.get('name')!, facts]))
}

/** Whether what both sides tell is the same. */
export function sameFacts(one: Facts, other: Facts): boolean {
  return [...one].every(([name, value]) => !other.has(name) || other.get(name) === value)
}

/** Of VINFO what is how the vectors are kept, not how the graph lies. */
const VECTOR_FACTS = ['quant-type', 'vector-dim']
const NEWER_VECTOR_FACTS = ['hnsw-m', 'projection-input-dim']

export function vectorFacts(reply: Reply): Facts {
  return factsIn('VINFO', reply, VECTOR_FACTS, NEWER_VECTOR_FACTS)
}

/** Whether VEMB RAW (`[quantisation, bytes, number ...]`, or nil: no such member) says the same twice. */
export function sameVector(one: Reply, other: Reply): boolean {
  const [there, here] = [one, other].map((reply) =>
    reply === null ? [] : listOf('VEMB', reply).map((part) => textOf('VEMB', part)),
  ) as [string[], string[]]
  const isSame = (part: string, i: number): boolean => part === here[i] || (i > 1 && Number(part) === Number(here[i]))
  return there.length === here.length && there.every(isSame)
}

/** Of what is pending (`[[id, consumer, idle ms, deliveries] ...]`) ID, consumer and count of each; not how long ago. */
export function pendingOf(reply: Reply): { readonly id: string; readonly text: string }[] {
  return listOf('XPENDING', reply).map((entry) => {
    const [id, consumer, , deliveries] = listOf('XPENDING', entry).map((part) => textOf('XPENDING', part))
    if (id === undefined || consumer === undefined || deliveries === undefined) throw unknownShape('XPENDING')
    return { id, text: `${id} ${consumer} ${deliveries}` }
  })
}

function factsIn(
  command: string,
  reply: Reply,
  needed: readonly string[],
  others: readonly string[],
): Map<string, string> {
  const flat = listOf(command, reply)
  const facts = new Map<string, string>()
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = textOf(command, flat[i]!)
    const isTold = others.includes(name) && flat[i + 1] !== null
    if (isTold || needed.includes(name)) facts.set(name, textOf(command, flat[i + 1]!))
  }
  if (!needed.every((name) => facts.has(name))) throw unknownShape(command)
  return facts
}

function listOf(command: string, reply: Reply | undefined): readonly Reply[] {
  if (reply instanceof ErrorReply) throw new Unsettled(`a store answers ${command} with ${shownCode(reply)}`)
  if (!Array.isArray(reply)) throw unknownShape(command)
  return reply as readonly Reply[]
}

/** A list of texts, as their bytes. */
export function buffersIn(command: string, reply: Reply | undefined): readonly Buffer[] {
  const list = listOf(command, reply)
  if (!list.every((item) => Buffer.isBuffer(item))) throw unknownShape(command)
  return list as readonly Buffer[]
}

function textOf(command: string, reply: Reply): string {
  if (Buffer.isBuffer(reply)) return reply.toString('latin1')
  if (reply instanceof SimpleReply) return reply.text
  if (typeof reply === 'number' || typeof reply === 'bigint') return String(reply)
  throw unknownShape(command)
}

function unknownShape(command: string): Unsettled {
  return new Unsettled(`a store answers ${command} in a form that is not known`)
}

function each(shape: Shape, names: string): Record<string, Shape> {
  return Object.fromEntries(names.split(' ').map((name) => [name, shape]))
}

/** One of the stores does not have the command. */
export function isUnknown(...replies: readonly (Reply | undefined)[]): boolean {
  return replies.some((reply) => reply instanceof ErrorReply && isUnknownCommand(reply.text))
}
