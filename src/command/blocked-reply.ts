import { ASTERISK, DOLLAR, MINUS, UNDERSCORE } from '../resp/bytes.ts'
import { CommandParser } from '../resp/command-parser.ts'
import { FRAME } from '../resp/encode.ts'
import type { CommandSpec } from './spec.ts'

/** It does not wait for a key: numbers answer it, of replicas and files that have all that was written. */
export function asksReplicas({ name }: CommandSpec): boolean {
  return name === 'WAIT' || name === 'WAITAOF'
}

/** What a blocking command is answered when it has waited for nothing; nil also to BLMOVE. */
export function replyToNothing(spec: CommandSpec, protocol: 2 | 3): Buffer {
  if (spec.name === 'WAIT') return NONE
  if (spec.name === 'WAITAOF') return NONE_OF_BOTH
  return protocol === 3 ? FRAME.NULL : FRAME.NIL_ARRAY
}

/** Whether what answers the command, `frame`, says that it has blocked, and for nothing: it is nil, or there are fewer than it asks for. */
export function waitedForNothing(spec: CommandSpec, frame: Buffer, reply: Buffer): boolean {
  if (!asksReplicas(spec)) return isNil(reply, 0)
  if (reply[0] === MINUS) return false
  parser.parse(frame, 0, frame.length)
  const numbers = reply.toString('latin1').match(/(?<=:)\d+/g) ?? []
  return numbers.some(
    (number, i) => Number(number) < Number(frame.toString('latin1', parser.start[i + 1], parser.end[i + 1])),
  )
}

export function isNil(buf: Buffer, at: number): boolean {
  return buf[at] === UNDERSCORE || ((buf[at] === ASTERISK || buf[at] === DOLLAR) && buf[at + 1] === MINUS)
}

const parser = new CommandParser()
const NONE = Buffer.from(':0\r\n')
const NONE_OF_BOTH = Buffer.from('*2\r\n:0\r\n:0\r\n')
