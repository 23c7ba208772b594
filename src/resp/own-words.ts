import { encodeCommand } from './encode.ts'

/**
 * What Understudy says to a store for itself, and not for a client, has its first word in a spelling that no client uses: `sELECT`, `dUMP`. Servers do not care; MONITOR and SLOWLOG show commands as they
 * were sent, so it can be told there and left out.
 */
export function encodeOwn(args: readonly (Buffer | string | number)[]): Buffer {
  return encodeCommand([ownWord(String(args[0])), ...args.slice(1)])
}

/** `name`: one word, ASCII. */
export function ownWord(name: string): string {
  return name.slice(0, 1).toLowerCase() + name.slice(1).toUpperCase()
}

/** Whether a command's first word is in that spelling. */
export function isOwnWord(word: string): boolean {
  return OWN_WORD.test(word)
}

const OWN_WORD = /^[a-z][A-Z]+$/
