import { CommandParser } from '../resp/command-parser.ts'
import { encodeCommand } from '../resp/encode.ts'
import { blockTimeout } from './blocking.ts'
import type { CommandSpec } from './spec.ts'

const parser = new CommandParser()

/** How long a blocking command waits as it says itself, in ms; 0: for ever, null: it says nothing that could be understood. */
function givenMs(spec: CommandSpec, frame: Buffer): number | null {
  parser.parse(frame, 0, frame.length)
  const timeout = blockTimeout(spec, parser)
  if (timeout === null) return null
  const given = Number(parser.buf.toString('latin1', parser.start[timeout.index], parser.end[timeout.index]))
  return given >= 0 ? given * (timeout.unit === 'seconds' ? 1000 : 1) : null
}

/** How long the reply may take, in ms: the command's own timeout and the store's. 0: for ever. */
export function replyLimitMs(spec: CommandSpec, frame: Buffer, storeTimeoutMs: number): number {
  const given = givenMs(spec, frame)
  return given === 0 || storeTimeoutMs === 0 ? 0 : (given ?? 0) + storeTimeoutMs
}

/** The frame with what is left of its timeout after `elapsedMs`; null: nothing is left. */
export function frameForTheRest(spec: CommandSpec, frame: Buffer, elapsedMs: number): Buffer | null {
  const given = givenMs(spec, frame)
  if (given === null || given === 0 || elapsedMs < 1) return frame
  const leftMs = given - elapsedMs
  // 0 would mean "for ever".
  if (leftMs < 1) return null
  const timeout = blockTimeout(spec, parser)!
  const args: (Buffer | string)[] = []
  for (let i = 0; i < parser.argc; i++) args.push(parser.buf.subarray(parser.start[i], parser.end[i]))
  args[timeout.index] = timeout.unit === 'seconds' ? (leftMs / 1000).toFixed(3) : String(Math.ceil(leftMs))
  return encodeCommand(args)
}
