import { READ_BUFFER } from './read-buffer.ts'

/**
 * Copies out of the thread's read buffer, put off as long as they are one piece: sixteen commands of a client that lie one behind the other, and
 * go one behind the other into the same chunk, are one call of `copy` instead of sixteen. The same for the replies of one client. A call
 * costs more than the bytes of a small command.
 *
 *   READ_BUFFER  [ ... | a | b | c | ... ]
 *                      ^from        ^to         not copied yet
 *   to           [ ...... | a | b | c ]
 *                         ^toAt
 *
 * Who hands a buffer on, or reads what was put into it, calls `finishCopies` before; so does every read of a socket into `READ_BUFFER` when what it
 * has brought was looked at, since the next one writes over it.
 */
export function copyBytes(buf: Buffer, from: number, to: number, target: Buffer, at: number): void {
  if (buf === READ_BUFFER && target === runTarget && from === runTo && at === runAt + runTo - runFrom) {
    runTo = to
    return
  }
  // In the order in which they were asked for, whatever they are copied from: a place may be written to twice.
  finishCopies()
  if (buf !== READ_BUFFER) {
    if (to - from >= SHORT) buf.copy(target, at, from, to)
    else for (let i = from, into = at; i < to; i++, into++) target[into] = buf[i]!
    return
  }
  runTarget = target
  runAt = at
  runFrom = from
  runTo = to
}

/** Whatever was put off is copied now. */
export function finishCopies(): void {
  if (runTarget === null) return
  const target = runTarget
  runTarget = null
  if (runTo - runFrom >= SHORT) READ_BUFFER.copy(target, runAt, runFrom, runTo)
  else for (let i = runFrom, at = runAt; i < runTo; i++, at++) target[at] = READ_BUFFER[i]!
}

/** Below this a loop beats the call. */
const SHORT = 64

let runTarget: Buffer | null = null
let runAt = 0
let runFrom = 0
let runTo = 0
