/**
 * A cursor of HSCAN, SSCAN or ZSCAN as the application gets it while its key's route has ends on two servers: the store's own, and which server gave it. A server orders elements by a hash of its
 * own, so to another one the position means nothing.
 *
 *    bit 52  51 ........ 38  37 ................. 0
 *         1   server's mark   the store's cursor        0 altogether: begin, or done
 *
 * The store's own stands lowest: a server looks at no more bits than its table has, so that the number is right as it is where it gets past Understudy to the server that gave it (in a script's
 * arguments, or after Understudy has been taken away). Below 2^53, because some clients keep cursors as doubles.
 *
 * A cursor without a mark is the source's: from before there was a target. One of 2^38 or above has no room for a mark, goes out as it came, and is taken for the primary's.
 */
export interface CursorMarks {
  /** Of the server that answers now, 1 .. 16383. */
  readonly primary: number
  /** Of the one at the other end; 0: there is none, or both ends are on one. */
  readonly other: number
  /** The other end is the source, on a server of its own: cursors without a mark are that one's. */
  readonly plainIsOther: boolean
}

/** Where a page is to come from, and by which cursor of that store. */
export interface CursorPlace {
  readonly at: 'primary' | 'other'
  readonly cursor: string
}

const ROOM = 2 ** 38
const MARKED = 2 ** 52
const MARKS = 16_383

/** The marks of two servers, of `hashBytes` of what tells them apart: never the same. */
export function marksOf(source: number, target: number): { readonly source: number; readonly target: number } {
  const [one, other] = [1 + (source % MARKS), 1 + (target % MARKS)]
  return { source: one, target: other === one ? 1 + (one % MARKS) : other }
}

/** `text`: the cursor as the application sent it. One of a server that is at neither end begins again. */
export function placeOf(marks: CursorMarks, text: string): CursorPlace {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (value >= MARKED && value < 2 * MARKED) {
    const mark = Math.floor((value - MARKED) / ROOM)
    if (mark === marks.primary) return { at: 'primary', cursor: String(value % ROOM) }
    if (mark === marks.other) return { at: 'other', cursor: String(value % ROOM) }
    return { at: 'primary', cursor: '0' }
  }
  return { at: marks.plainIsOther && value > 0 && value < ROOM ? 'other' : 'primary', cursor: text }
}

/** The page `buf[start .. end)` of the server that answers now, or of that at the other end, with the mark in its cursor; null: it goes out as it came. */
export function markedPage(
  marks: CursorMarks,
  buf: Buffer,
  start: number,
  end: number,
  at: CursorPlace['at'] = 'primary',
): Buffer | null {
  if (marks.other === 0) return null
  const head = HEAD.exec(buf.toString('latin1', start, Math.min(end, start + HEAD_BYTES)))
  const value = head === null ? 0 : Number(head[1])
  if (value === 0 || value >= ROOM) return null
  const cursor = String(MARKED + marks[at] * ROOM + value)
  return Buffer.concat([
    Buffer.from(`*2\r\n$${cursor.length}\r\n${cursor}\r\n`),
    buf.subarray(start + head![0].length, end),
  ])
}

const HEAD = /^\*2\r\n\$\d+\r\n(\d+)\r\n/
/** Of the longest that a cursor of 64 bits needs. */
const HEAD_BYTES = 32
