import { ASTERISK, COLON, DOLLAR, MINUS, PERCENT, PLUS, TILDE, UNDERSCORE, ZERO } from '../../resp/bytes.ts'
import { elementOffsets } from '../../resp/element-offsets.ts'

/** Whether the error `buf[start .. end)` tells of the server, not of the key. */
export function isIll(buf: Buffer, start: number, end: number): boolean {
  return ILL.test(buf.toString('latin1', start + 1, Math.min(end, start + 20)))
}

const ILL = /^(LOADING|READONLY|OOM|MASTERDOWN|CLUSTERDOWN|BUSY|NOAUTH|NOPERM|MISCONF|TRYAGAIN|MOVED|ASK)\b/

/** Which elements of an array are nil. */
export function nilsIn(buf: Buffer, start: number, end: number): ReadonlySet<number> {
  const offsets = elementOffsets(buf, start, end)
  const nils = new Set<number>()
  for (let i = 0; offsets !== null && i + 1 < offsets.length; i++) if (isNil(buf, offsets[i]!)) nils.add(i)
  return nils
}

function isNil(buf: Buffer, at: number): boolean {
  return buf[at] === UNDERSCORE || (buf[at] === DOLLAR && buf[at + 1] === MINUS)
}

/**
 * How much a reply lacks: 1 for what a key that does not exist gives (nil, 0, nothing, `none`, -2 of TTL), the number of nils of an array (MGET, HMGET), else
 * 0.
 */
export function gapsIn(buf: Buffer, start: number, end: number): number {
  switch (buf[start]) {
    case DOLLAR:
      return Number(buf[start + 1] === MINUS)
    case UNDERSCORE:
      return 1
    case COLON:
      return Number(
        (buf[start + 1] === ZERO && buf[start + 2] === 13) || (buf[start + 1] === MINUS && buf[start + 2] === 50),
      )
    case PLUS:
      return Number(end - start === 7 && buf.toString('latin1', start + 1, end - 2) === 'none')
    case PERCENT:
    case TILDE:
      return Number(buf[start + 1] === ZERO)
    case ASTERISK: {
      if (buf[start + 1] === MINUS || buf[start + 1] === ZERO) return 1
      const offsets = elementOffsets(buf, start, end)!
      let gaps = 0
      for (let i = 0; i + 1 < offsets.length; i++) {
        if (isNil(buf, offsets[i]!)) gaps++
      }
      return gaps
    }
    default:
      return 0
  }
}
