import { createHmac, randomBytes } from 'node:crypto'
import { encodeReply } from '../resp/encode.ts'
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  PushReply,
  type Reply,
  SetReply,
  SimpleReply,
  VerbatimReply,
} from '../resp/reply.ts'
import { shownCode } from './classify.ts'

/** Of this process only: so a hash tells that two values are equal, but no list of likely values can be tried against it elsewhere. */
const SALT = randomBytes(16)

/** Type, length and a short hash of a reply; never what is in it. `string, 12 bytes, #1f03a9c2` */
export function maskReply(reply: Reply): string {
  if (reply === null) return 'nil'
  if (reply instanceof ErrorReply) return `error ${shownCode(reply)}`
  const shape = shapeOf(reply)
  const hash = createHmac('sha256', SALT).update(encodeReply(reply, 2)).digest('hex').slice(0, 8)
  return `${shape}, #${hash}`
}

function shapeOf(reply: Exclude<Reply, null>): string {
  if (Buffer.isBuffer(reply)) return `string, ${counted(reply.length, 'byte')}`
  if (reply instanceof VerbatimReply) return `string, ${counted(reply.bytes.length, 'byte')}`
  if (reply instanceof SimpleReply) return `status, ${counted(reply.text.length, 'byte')}`
  if (reply instanceof MapReply) return `map, ${counted(reply.entries.length, 'field')}`
  if (reply instanceof SetReply) return `set, ${counted(reply.members.length, 'member')}`
  if (reply instanceof PushReply) return `push, ${counted(reply.items.length, 'element')}`
  if (reply instanceof DoubleReply) return 'double'
  if (Array.isArray(reply)) return `array, ${counted(reply.length, 'element')}`
  return typeof reply === 'boolean' ? 'boolean' : 'integer'
}

function counted(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}

const MAX_REVEALED = 1000

/** A reply for people to read, where the route reveals values (`compare.reveal: values`); cut off after 1,000 characters. */
export function revealReply(reply: Reply): string {
  const text = readable(reply)
  return text.length <= MAX_REVEALED ? text : `${text.slice(0, MAX_REVEALED)}... (${text.length} characters)`
}

function readable(reply: Reply): string {
  if (reply === null) return 'nil'
  if (Buffer.isBuffer(reply)) return JSON.stringify(reply.toString())
  if (reply instanceof VerbatimReply) return JSON.stringify(reply.bytes.toString())
  if (reply instanceof SimpleReply) return reply.text
  if (reply instanceof ErrorReply) return `(error) ${reply.text}`
  if (reply instanceof DoubleReply) return reply.text
  if (reply instanceof MapReply)
    return `{${reply.entries.map(([k, v]) => `${readable(k)}: ${readable(v)}`).join(', ')}}`
  if (reply instanceof SetReply) return `[${reply.members.map(readable).join(', ')}]`
  if (reply instanceof PushReply) return `[${reply.items.map(readable).join(', ')}]`
  if (Array.isArray(reply)) return `[${reply.map(readable).join(', ')}]`
  return String(reply)
}
