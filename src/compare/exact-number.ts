/** The value of a number that is written `source`; null: a double does not hold it, and gives other digits back. -0 is one of these: written as a double it would be 0. */
export function heldNumber(source: string): number | null {
  const value = Number(source)
  const back = String(value)
  if (!Number.isFinite(value)) return null
  return back === source || sameDigits(back) === sameDigits(source) ? value : null
}

/** A decimal number in a form that two have in common exactly when they are the same: its digits without zeros around them, and how far the point is behind them (`-1.50e3` -> `-15e2`). */
export function sameDigits(source: string): string {
  const match = /^(-?)(\d+)(?:\.(\d*))?(?:e([+-]?\d+))?$/i.exec(source)
  if (match === null) return source
  const [, sign, whole, fraction = '', exponent = '0'] = match
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const held = withoutTrailingZeros(digits)
  if (held === '') return `${sign}0`
  const shift = BigInt(exponent) + BigInt(digits.length - held.length - fraction.length)
  return `${sign}${held}${shift === 0n ? '' : `e${shift}`}`
}

/** A loop: `/0+$/` would look at each zero of a long number again and again. */
function withoutTrailingZeros(digits: string): string {
  let end = digits.length
  while (end > 0 && digits[end - 1] === '0') end--
  return digits.slice(0, end)
}
