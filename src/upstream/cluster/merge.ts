import { createHash } from 'node:crypto'
import { elements } from '../../command/effects/reading.ts'
import type { Merge } from '../../command/split-commands.ts'
import { EQUALS, MINUS, UNDERSCORE } from '../../resp/bytes.ts'
import { decodeReply } from '../../resp/decode.ts'
import { elementOffsets } from '../../resp/element-offsets.ts'
import { encodeReply, FRAME } from '../../resp/encode.ts'
import { type Reply, SimpleReply } from '../../resp/reply.ts'

/** The answers of the nodes, in the order in which they were asked, as one. An error of one is the answer. */
export type Merging = (frames: readonly Buffer[]) => Buffer

export function orError(merge: Merging): Merging {
  return (frames) => frames.find((frame) => frame[0] === MINUS) ?? merge(frames)
}

/** Of a command that was split by slot: `places` says where each key of each part stood, from 0. */
export function mergeParts(merge: Merge, places: readonly (readonly number[])[]): Merging {
  if (merge === 'ok') return () => FRAME.OK
  if (merge === 'sum') return sumOf
  return (frames) => {
    const values: Buffer[] = []
    for (const [i, frame] of frames.entries()) {
      const offsets = elementOffsets(frame, 0, frame.length)!
      for (const [j, place] of places[i]!.entries()) values[place] = frame.subarray(offsets[j]!, offsets[j + 1]!)
    }
    return Buffer.concat([Buffer.from(`*${values.length}\r\n`), ...values])
  }
}

export function sumOf(frames: readonly Buffer[]): Buffer {
  const sum = frames.reduce((all, frame) => all + Number(frame.toString('latin1', 1, frame.length - 2)), 0)
  return Buffer.from(`:${sum}\r\n`)
}

/** One that is not nil, if there is one. */
export function someOf(frames: readonly Buffer[]): Buffer {
  const some = frames.filter((frame) => frame[0] !== UNDERSCORE && frame.toString('latin1', 0, 3) !== '$-1')
  return some[Math.floor(Math.random() * some.length)] ?? frames[0]!
}

export function everyOf(frames: readonly Buffer[]): Buffer {
  return encodeReply(inAllOf(frames), 2)
}

/** Of lists of 0 and 1, equally long: 1 where all of them have it. */
export function inAllOf(frames: readonly Buffer[]): number[] {
  const [first, ...others] = frames.map((frame) => decodeReply(frame, 0, frame.length) as number[])
  return first!.map((one, i) => (others.every((other) => other[i] === one) ? one : 0))
}

export function listOf(frames: readonly Buffer[]): Buffer {
  let count = 0
  const bodies = frames.map((frame) => {
    const body = frame.indexOf('\n') + 1
    count += Number(frame.toString('latin1', 1, body - 2))
    return frame.subarray(body)
  })
  return Buffer.concat([Buffer.from(`*${count}\r\n`), ...bodies])
}

/** Of lists of libraries of functions: what every node has. */
export function commonOf(frames: readonly Buffer[]): Buffer {
  const [first, ...others] = frames.map((frame) => {
    const offsets = elementOffsets(frame, 0, frame.length) ?? new Int32Array(0)
    const items = [...offsets.subarray(1)].map((end, i) => frame.subarray(offsets[i], end))
    return new Map(items.map((item) => [inOrder(decodeReply(item, 0, item.length)), item]))
  })
  const common = [...first!].flatMap(([text, item]) => (others.every((other) => other.has(text)) ? [item] : []))
  return Buffer.concat([Buffer.from(`*${common.length}\r\n`), ...common])
}

/** As a text. A server lists the functions of a library in whatever order. */
function inOrder(reply: Reply): string {
  if (reply instanceof SimpleReply) return reply.text
  const items = elements(reply)
  if (items === null) return Buffer.isBuffer(reply) ? reply.toString('latin1') : ''
  const texts = items.map(inOrder)
  return JSON.stringify(items.every((item) => elements(item) !== null) ? texts.sort() : texts)
}

/** Counts are summed, `run_id` is that of the whole: another one as soon as one node is. Everything else is the first node's. A verbatim string (RESP3) where they are. */
export function infoOf(frames: readonly Buffer[]): Buffer {
  const isVerbatim = frames[0]![0] === EQUALS
  const before = isVerbatim ? TEXT.length : 0
  const texts = frames.map((frame) => frame.toString('latin1', frame.indexOf('\n') + 1 + before, frame.length - 2))
  let text = texts[0]!
  for (const name of SUMMED) {
    const all = texts.map((one) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(one)?.[1] ?? 0))
    text = text.replace(new RegExp(`^${name}:\\d+`, 'm'), `${name}:${all.reduce((sum, one) => sum + one, 0)}`)
  }
  const ids = texts.flatMap((one) => /^run_id:(\w+)/m.exec(one)?.[1] ?? [])
  const id = createHash('sha1').update(ids.sort().join(' ')).digest('hex')
  text = text.replace(/^run_id:\w+/m, `run_id:${id}`)
  const keys = texts.map((one) => /^db0:keys=(\d+),expires=(\d+)/m.exec(one)).filter((match) => match !== null)
  if (keys.length > 0 && texts.some((one) => one.includes('# Keyspace'))) {
    const total = (at: number): number => keys.reduce((sum, match) => sum + Number(match[at]), 0)
    text = text.replace(/^db0:.*\r?\n/m, '')
    text = text.replace('# Keyspace\r\n', `# Keyspace\r\ndb0:keys=${total(1)},expires=${total(2)},avg_ttl=0\r\n`)
  }
  const whole = isVerbatim ? `=${TEXT.length + text.length}\r\n${TEXT}${text}` : `$${text.length}\r\n${text}`
  return Buffer.from(`${whole}\r\n`, 'latin1')
}

/** The same of those that have told theirs, if there are any. */
export function infoOfSome(frames: readonly Buffer[]): Buffer {
  const told = frames.filter((frame) => frame[0] !== MINUS)
  return told.length === 0 ? frames[0]! : infoOf(told)
}

/** What a verbatim string begins with: its format. */
const TEXT = 'txt:'

const SUMMED = ['evicted_keys', 'expired_keys', 'keyspace_hits', 'keyspace_misses', 'total_commands_processed']
