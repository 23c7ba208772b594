/** Codes by which servers say what is wrong. What else an error begins with may be the application's own words. */
const CODES = [
  ...['OOM', 'MISCONF', 'READONLY', 'NOPERM', 'NOAUTH', 'NOREPLICAS', 'LOADING', 'BUSY', 'MASTERDOWN', 'CLUSTERDOWN'],
  ...['TRYAGAIN', 'MOVED', 'ASK', 'CROSSSLOT', 'WRONGTYPE', 'EXECABORT', 'ERR'],
].map((code) => ({ code, bytes: Buffer.from(`-${code} `) }))

/** Of an error's frame at `start`. */
export function countErrorCode(counts: Map<string, number>, buf: Buffer, start: number, end: number): void {
  for (const { code, bytes } of CODES) {
    if (end - start > bytes.length && buf.compare(bytes, 0, bytes.length, start, start + bytes.length) === 0)
      return void counts.set(code, (counts.get(code) ?? 0) + 1)
  }
}
