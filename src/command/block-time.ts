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
  const given = Number(textAt(timeout.index))
  if (timeout.unit === 'seconds') return given >= 0 ? given * 1000 : null
  return given >= 0 && Number.isInteger(given) ? given : null
}

/** How long the reply may take, in ms: the command's own timeout and the store's. 0: for ever. */
export function replyLimitMs(spec: CommandSpec, frame: Buffer, storeTimeoutMs: number): number {
  const given = givenMs(spec, frame)
  return given === 0 || storeTimeoutMs === 0 ? 0 : (given ?? 0) + storeTimeoutMs
}

/** The frame with what is left of its timeout after `elapsedMs`, in whole seconds where the server takes no fractions of them; null: nothing is left. */
export function frameForTheRest(
  spec: CommandSpec,
  frame: Buffer,
  elapsedMs: number,
  takesFractions = true,
): Buffer | null {
  const given = givenMs(spec, frame)
  if (given === null || given === 0 || elapsedMs < 1) return frame
  const leftMs = given - elapsedMs
  // 0 would mean "for ever".
  return leftMs < 1 ? null : withTimeout(spec, leftMs, takesFractions)
}

/** The frame with the shortest timeout there is, for a server of 6.0 or later; as it is where a server may refuse its own. */
export function frameForNoTime(spec: CommandSpec, frame: Buffer): Buffer {
  const given = givenMs(spec, frame)
  if (given === null || given > TAKEN_MS) return frame
  const { index, unit } = blockTimeout(spec, parser)!
  return TAKEN[unit].test(textAt(index)) ? withTimeout(spec, 1) : frame
}

/** Of the frame that was parsed last. */
function textAt(index: number): string {
  return parser.buf.toString('latin1', parser.start[index], parser.end[index])
}

/** The same. */
function withTimeout(spec: CommandSpec, timeoutMs: number, takesFractions = true): Buffer {
  const timeout = blockTimeout(spec, parser)!
  const args: (Buffer | string)[] = []
  for (let i = 0; i < parser.argc; i++) args.push(parser.buf.subarray(parser.start[i], parser.end[i]))
  args[timeout.index] = timeout.unit === 'seconds' ? inSeconds(timeoutMs, takesFractions) : String(Math.ceil(timeoutMs))
  return encodeCommand(args)
}

function inSeconds(ms: number, takesFractions: boolean): string {
  return takesFractions ? (Math.max(ms, LEAST_MS) / 1000).toFixed(3) : String(Math.ceil(ms / 1000))
}

/** Redis 6 makes whole milliseconds of a fraction of a second by cutting off, and of 0.001 none: it would wait for ever. */
const LEAST_MS = 2
/** What every server takes: what it counts in goes up to 2^63. */
const TAKEN_MS = 1e15
/** `Number` reads more than a server does: nothing at all, spaces, `0b1`. */
const TAKEN = { seconds: /^\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i, milliseconds: /^(0|[1-9]\d*)$/ }
