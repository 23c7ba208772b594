import { COMPLETE, CommandParser } from '../../resp/command-parser.ts'
import type { InFlight } from './in-flight.ts'

/**
 * The commands that share `slot` get a place each: `places` are as many, and the last of them is `slot`. Where one ends and the next begins is not kept: their bytes say it.
 *
 *   bytes   [ answered | answered | a | b | c ]        places  [ a ][ b ][ c = slot ]
 *             ^start                        ^end
 *
 * Gives how many bytes those have that have been answered, which are nobody's any more.
 */
export function separatePlace(slot: InFlight, places: readonly InFlight[]): number {
  const { buf } = slot.chunk!
  const parser = new CommandParser()
  const { seq, start, end, position, answered } = slot
  let at = start
  for (let i = 0; i < answered; i++) at = endOf(parser, buf, at, end)
  const answeredBytes = at - start
  slot.count = 1
  slot.answered = 0
  for (const [i, place] of places.entries()) {
    if (place !== slot) Object.assign(place, slot)
    place.seq = seq + i
    place.position = position + at - start
    place.start = at
    at = endOf(parser, buf, at, end)
    place.end = at
  }
  return answeredBytes
}

/** Where the bytes of the oldest command lie that shares `slot` and is still owed: `slot.chunk.buf[start .. end)`. */
export function oldestOf({ chunk, start, end, answered }: InFlight): [start: number, end: number] {
  const { buf } = chunk!
  const parser = new CommandParser()
  let at = start
  for (let i = 0; i < answered; i++) at = endOf(parser, buf, at, end)
  return [at, endOf(parser, buf, at, end)]
}

/** They have been parsed before: each is whole. */
function endOf(parser: CommandParser, buf: Buffer, from: number, to: number): number {
  if (parser.parse(buf, from, to) !== COMPLETE) throw new Error('a place is shared by something that is no command')
  return parser.next
}
