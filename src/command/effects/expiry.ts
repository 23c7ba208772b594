import type { Args, EffectContext } from '../effects.ts'
import { command } from './building.ts'

/**
 * When something expires: absolute, ms since the epoch by the primary's clock, in decimal. The text and not a number, because Redis takes
 * 64 bits.
 */
export type ExpiryMs = Buffer

const UNIT: Readonly<Record<string, { readonly ms: number; readonly relative: boolean }>> = {
  EX: { ms: 1000, relative: true },
  PX: { ms: 1, relative: true },
  EXAT: { ms: 1000, relative: false },
  PXAT: { ms: 1, relative: false },
}

/** EX, PX, EXAT, PXAT. */
export function isExpiryOption(option: string): boolean {
  return UNIT[option] !== undefined
}

/** What `option value` means in absolute time; null when the value is no integer. */
export function expiryMs(option: string, value: Buffer | undefined, context: EffectContext): ExpiryMs | null {
  const unit = UNIT[option]
  if (unit === undefined || value === undefined) return null
  return absolute(value, unit.ms, unit.relative ? context.nowMs : 0)
}

/** `origin + value * unitMs`, ms. */
export function absolute(value: Buffer, unitMs: number, origin: number): ExpiryMs | null {
  const text = value.toString('latin1')
  if (value.length > 20 || !/^-?\d+$/.test(text)) return null
  // Twelve digits of seconds still are a safe integer in ms; beyond, 64-bit arithmetic.
  if (text.length <= 12) return Buffer.from(String(origin + Number(text) * unitMs))
  return Buffer.from((BigInt(origin) + BigInt(text) * BigInt(unitMs)).toString())
}

/** SET with an expiry, for a shadow of any age. */
export function setExpiring(key: Buffer, value: Buffer, at: ExpiryMs, context: EffectContext): Args[] {
  if (context.shadowHasAbsoluteExpiry) return [command('SET', key, value, 'PXAT', at)]
  // PEXPIREAT makes it exact and is as old as Redis 2.6; the relative time before it means that the key is never without an end.
  const remaining = BigInt(at.toString('latin1')) - BigInt(context.nowMs)
  const first = remaining > 0n ? command('PSETEX', key, String(remaining), value) : command('SET', key, value)
  return [first, command('PEXPIREAT', key, at)]
}
