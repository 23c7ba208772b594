import type { CommandSpec } from '../../command/spec.ts'
import { ASTERISK, COLON, HASH, MINUS } from '../../resp/bytes.ts'
import type { InFlight } from '../../upstream/pipeline/in-flight.ts'
import { integerHash, NO_ANSWER, ONE, ZERO } from '../shadow/shadow-answers.ts'

/** The bytes as the application sent them: a view, valid as long as the slot. */
export function applicationBytes(command: InFlight): { bytes: Buffer; start: number; end: number } {
  const { original } = command
  if (original !== null) return { bytes: original, start: 0, end: original.length }
  return { bytes: command.chunk!.buf, start: command.start, end: command.end }
}

/** `:0`, `#f`, a nil, or an empty array: the write found nothing to do. */
export function changedNothing(reply: Buffer, from: number): boolean {
  switch (reply[from]) {
    case COLON:
      return reply[from + 1] === 48 && reply[from + 2] === 13
    case 36: // $-1
      return reply[from + 1] === MINUS
    case 42: // *-1 *0
      return reply[from + 1] === MINUS || (reply[from + 1] === 48 && reply[from + 2] === 13)
    case 95: // _
      return true
    case 35: // #f
      return reply[from + 1] === 102
    default:
      return false
  }
}

/** A script can fail half-way and leave what it had written by then; most errors mean that nothing was written. */
export function mayWriteBeforeError(spec: CommandSpec | null): boolean {
  const rule = spec?.effect ?? null
  return rule === null || (rule.kind === 'compute' && rule.writesBeforeError === true)
}

/** What the shadow has to answer to the same command, where an integer tells. A boolean is one in RESP2, which the shadow speaks. */
export function answerOf(reply: Buffer, from: number): number {
  if (reply[from] === COLON) return integerHash(reply, from)
  if (reply[from] !== HASH) return NO_ANSWER
  return reply[from + 1] === 116 ? ONE : ZERO
}

/** The count in a multibulk frame's header; 0 for an inline command. */
export function argcOf(bytes: Buffer, start: number): number {
  if (bytes[start] !== ASTERISK) return 0
  let at = start + 1
  let argc = 0
  while (bytes[at] !== 13) argc = argc * 10 + (bytes[at++]! - 48)
  return argc
}
