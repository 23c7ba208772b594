const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const SHORT = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })
const DASH = '–'

/** @param {number | null | undefined} value */
export function count(value) {
  return value == null ? DASH : WHOLE.format(value)
}

/** `3 keys`, `1 key`.  @param {number} value @param {string} one @param {string} [many] */
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`
}

/** Of things per second: 0, 0.4, 12.5, 1.2K.  @param {number | null | undefined} value */
export function rate(value) {
  return value == null ? DASH : `${value < 1000 ? SHORT.format(value) : COMPACT.format(value)}/s`
}

/** A share of 1 as percent.  @param {number | null | undefined} value */
export function percent(value) {
  return value == null ? DASH : `${value > 0 && value < 0.0001 ? '< 0.01' : SHORT.format(value * 100)} %`
}

/** @param {number | null | undefined} ms */
export function milliseconds(ms) {
  if (ms == null) return DASH
  if (ms < 1000) return `${SHORT.format(ms)} ms`
  return duration(ms / 1000)
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return DASH
  if (seconds < 60) return `${SHORT.format(seconds)} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`
}

/** @param {number} value */
export function bytes(value) {
  if (value < 1024) return `${value} B`
  if (value < 1024 ** 2) return `${SHORT.format(value / 1024)} kB`
  return `${SHORT.format(value / 1024 ** 2)} MB`
}

/** Time of day, with the date when it is another day.  @param {string | number | null | undefined} at ISO 8601, or ms since 1970 */
export function time(at) {
  if (at == null) return DASH
  const date = new Date(at)
  const sameDay = date.toDateString() === new Date().toDateString()
  return sameDay ? date.toLocaleTimeString() : date.toLocaleString()
}
