import { MINUS } from '../resp/bytes.ts'

/** Whether `buf[start .. end)` is an error that tells of the server at this moment and says nothing of the keys: it passes by itself. */
export function isPassing(buf: Buffer, start: number, end: number): boolean {
  return buf[start] === MINUS && PASSING.test(buf.toString('latin1', start + 1, Math.min(end, start + LONGEST)))
}

const PASSING = /^(BUSY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN) /
const LONGEST = 16
