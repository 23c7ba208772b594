/**
 * Errors that clients ask for on purpose, above all when they start: a script that the server may have (then its source is sent), a consumer group that may be there. They say nothing about how
 * the store is.
 */
const CODES = ['-NOSCRIPT ', '-BUSYGROUP '].map((text) => Buffer.from(text))

/** Of an error's frame at `start`. */
export function isOrdinary(buf: Buffer, start: number, end: number): boolean {
  for (const code of CODES) {
    if (end - start > code.length && buf.compare(code, 0, code.length, start, start + code.length) === 0) return true
  }
  return false
}
