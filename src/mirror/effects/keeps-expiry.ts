import { CommandParser } from '../../resp/command-parser.ts'

const parser = new CommandParser()

/** Whether KEEPTTL is among the arguments `from` up to `to` of the command `bytes[start .. end)`. */
export function keepsExpiry(bytes: Buffer, start: number, end: number, from: number, to = Infinity): boolean {
  parser.parse(bytes, start, end)
  for (let i = from; i < parser.argc && i < to; i++) {
    if (parser.end[i]! - parser.start[i]! !== 7) continue
    if (parser.buf.toString('latin1', parser.start[i]!, parser.end[i]!).toUpperCase() === 'KEEPTTL') return true
  }
  return false
}
