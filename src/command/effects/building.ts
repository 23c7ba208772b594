import type { Args, Effect, FollowUp } from '../effects.ts'

export const NOTHING: Effect = { kind: 'none' }
export const SENT: Effect = { kind: 'as-sent' }

type Word = Buffer | string | number

/**
 * Effects are written with words and numbers where they have them; keys, members and values stay the bytes they were. A list stands for what is in it: spread into the call, a long one would not fit
 * the stack.
 */
export function command(...args: readonly (Word | readonly Word[])[]): Args {
  const list: Buffer[] = []
  for (const arg of args) {
    if (typeof arg !== 'object' || Buffer.isBuffer(arg)) list.push(bytesOf(arg))
    else for (const word of arg) list.push(bytesOf(word))
  }
  return list
}

function bytesOf(word: Word): Buffer {
  return typeof word === 'object' ? word : Buffer.from(String(word))
}

export function commands(...list: readonly Args[]): Effect {
  return commandList(list)
}

export function commandList(list: readonly Args[]): Effect {
  return { kind: 'commands', commands: list }
}

export function commandsThen(list: readonly Args[], followUp: FollowUp): Effect {
  return { kind: 'commands', commands: list, followUp }
}

/** A list stands for the keys in it, as with `command`. */
export function copy(...keys: readonly (Buffer | readonly Buffer[])[]): Effect {
  return { kind: 'copy', keys: keys.flat() }
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
