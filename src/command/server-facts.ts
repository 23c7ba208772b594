import { MapReply, type Reply, SetReply, SimpleReply } from '../resp/reply.ts'
import type { CommandFacts } from './make-spec.ts'
import type { KeySpec } from './spec.ts'

/**
 * Reads a server's reply to `COMMAND`, RESP2 or RESP3.
 *
 *   entry = [name, arity, flags, first key, last key, step, categories, tips, key specs, subcommands]
 *
 * Servers before 6.0 end after `step`, before 7.0 after the categories. What cannot be read is left out: the table then keeps
 * what it knew before. Source: redis.io, "COMMAND".
 */
export function serverFacts(reply: Reply): CommandFacts[] {
  return itemsOf(reply).flatMap((entry) => {
    const facts = factsOf(itemsOf(entry))
    return facts === null ? [] : [facts]
  })
}

function factsOf(entry: readonly Reply[]): CommandFacts | null {
  const [name, arity, flags, first, last, step, , , specs, subcommands] = entry
  const text = textOf(name)
  if (text === '' || typeof arity !== 'number') return null
  const flagSet = new Set(itemsOf(flags).map(textOf))
  const listed = itemsOf(specs)
  const keySpecs = listed.filter((spec) => !flagsOf(spec).includes('not_key')).map(keySpecOf)
  // First/last/step say the same, and faster, unless the server flags them as insufficient.
  const onlyChannels = listed.length > 0 && keySpecs.length === 0
  const subs = itemsOf(subcommands).flatMap((sub) => factsOf(itemsOf(sub)) ?? [])
  return {
    name: text.toUpperCase().replace('|', ' '),
    arity,
    flags: flagSet,
    firstKey: onlyChannels ? 0 : numberOf(first),
    lastKey: numberOf(last),
    keyStep: numberOf(step),
    keySpecs: flagSet.has('movablekeys') ? keySpecs : null,
    subcommands: subs.length === 0 ? null : subs,
  }
}

/** `{notes?, flags, begin_search: {type, spec}, find_keys: {type, spec}}` */
function keySpecOf(reply: Reply): KeySpec {
  const spec = fieldsOf(reply)
  const begin = fieldsOf(spec.get('begin_search'))
  const find = fieldsOf(spec.get('find_keys'))
  return { begin: beginOf(textOf(begin.get('type')), fieldsOf(begin.get('spec'))), find: findOf(find) }
}

function beginOf(type: string, spec: ReadonlyMap<string, Reply>): KeySpec['begin'] {
  if (type === 'index') return { type, index: numberOf(spec.get('index')) }
  if (type === 'keyword') {
    const keyword = textOf(spec.get('keyword')).toUpperCase()
    return { type, keyword, startFrom: numberOf(spec.get('startfrom')) }
  }
  return { type: 'unknown' }
}

function findOf(find: ReadonlyMap<string, Reply>): KeySpec['find'] {
  const type = textOf(find.get('type'))
  const spec = fieldsOf(find.get('spec'))
  const step = Math.max(1, numberOf(spec.get('keystep')))
  if (type === 'range') {
    return { type, lastKey: numberOf(spec.get('lastkey')), step, limit: numberOf(spec.get('limit')) }
  }
  if (type === 'keynum') {
    return { type, keyNumIndex: numberOf(spec.get('keynumidx')), firstKey: numberOf(spec.get('firstkey')), step }
  }
  return { type: 'unknown' }
}

function flagsOf(spec: Reply): string[] {
  return itemsOf(fieldsOf(spec).get('flags')).map((flag) => textOf(flag).toLowerCase())
}

/** A RESP3 map, or its flat RESP2 form. */
function fieldsOf(reply: Reply | undefined): Map<string, Reply> {
  if (reply instanceof MapReply) return new Map(reply.entries.map(([key, value]) => [textOf(key), value]))
  const items = itemsOf(reply)
  const fields = new Map<string, Reply>()
  for (let i = 0; i + 1 < items.length; i += 2) fields.set(textOf(items[i]), items[i + 1]!)
  return fields
}

function itemsOf(reply: Reply | undefined): readonly Reply[] {
  if (reply instanceof SetReply) return reply.members
  return Array.isArray(reply) ? (reply as readonly Reply[]) : []
}

function textOf(reply: Reply | undefined): string {
  if (reply instanceof SimpleReply) return reply.text
  return Buffer.isBuffer(reply) ? reply.toString() : ''
}

function numberOf(reply: Reply | undefined): number {
  return typeof reply === 'number' ? reply : 0
}
