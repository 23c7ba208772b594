import type { Args, Effect, FollowUp } from '../effects.ts'

export const NOTHING: Effect = { kind: 'none' }
export const SENT: Effect = { kind: 'as-sent' }

/** Effects are written with words and numbers where they have them; keys, members and values stay the bytes they were. */
export function command(...args: readonly (Buffer | string | number)[]): Args {
  return args.map((arg) => (typeof arg === 'object' ? arg : Buffer.from(String(arg))))
}

export function commands(...list: readonly Args[]): Effect {
  return { kind: 'commands', commands: list }
}

export function commandsThen(list: readonly Args[], followUp: FollowUp): Effect {
  return { kind: 'commands', commands: list, followUp }
}

export function copy(...keys: readonly Buffer[]): Effect {
  return { kind: 'copy', keys }
}

/** An argument as an upper-case word, to be compared with option names. */
export function word(arg: Buffer | undefined): string {
  return arg === undefined || arg.length > 32 ? '' : arg.toString('latin1').toUpperCase()
}

/** An integer argument; null when it is none (the server would have refused it, so this is a grammar that we do not know). */
export function integer(arg: Buffer | undefined): bigint | null {
  const text = arg === undefined || arg.length > 20 ? '' : arg.toString('latin1')
  return /^-?\d+$/.test(text) ? BigInt(text) : null
}

/** A count argument; -1 when it is none. */
export function count(arg: Buffer | undefined): number {
  const n = integer(arg)
  return n === null || n < 0n || n > 0xffff_ffffn ? -1 : Number(n)
}
