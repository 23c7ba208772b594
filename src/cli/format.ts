/** `90061` -> `1d 1h`: the two largest units that matter. */
export function formatSeconds(seconds: number): string {
  const units: [name: string, size: number][] = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
  ]
  let rest = Math.floor(seconds)
  const parts: string[] = []
  for (const [name, size] of units) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0 || parts.length > 0) parts.push(`${count}${name}`)
  }
  return parts.slice(0, 2).join(' ') || '0s'
}

/** Milliseconds with the precision that a person needs: `0.21 ms`, `12 ms`, `3.4 s`. */
export function formatMs(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`
  return `${ms >= 10 || ms === 0 ? Math.round(ms) : Number(ms.toPrecision(2))} ms`
}

/** Bytes in the units of the configuration file: powers of 1024. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} b`
  const exponent = Math.min(3, Math.floor(Math.log2(bytes) / 10))
  return `${(bytes / 1024 ** exponent).toFixed(1)} ${['b', 'kb', 'mb', 'gb'][exponent]}`
}

/** Share in percent; `-` when there is nothing to have a share of. */
export function formatShare(part: number, whole: number): string {
  if (whole === 0) return '-'
  const percent = (100 * part) / whole
  return `${percent === 0 ? 0 : percent < 0.01 ? '<0.01' : percent.toFixed(2)}%`
}
