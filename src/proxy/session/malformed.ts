import { UnderstudyError } from '../../base/errors.ts'
import { ASTERISK } from '../../resp/bytes.ts'
import { elementOffsets } from '../../resp/element-offsets.ts'

/**
 * A reply whose end was found and whose content makes no sense (`:abc`). The next one begins where it should, so the connection goes on; the client gets the bytes
 * as they came, and what the command may have written is settled by a state copy.
 */
export function isMalformed(error: unknown): boolean {
  return error instanceof UnderstudyError && error.code === 'PROTOCOL'
}

/** Where the elements of EXEC's reply lie, as `elementOffsets` says; null when it is no array, or a malformed one. */
export function execElements(buf: Buffer, start: number, end: number): Int32Array | null {
  if (buf[start] !== ASTERISK) return null
  try {
    return elementOffsets(buf, start, end)
  } catch (error) {
    if (isMalformed(error)) return null
    throw error
  }
}
