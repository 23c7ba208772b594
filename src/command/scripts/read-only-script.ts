import { CommandParser } from '../../resp/command-parser.ts'
import { argsOf, type CommandView } from '../../resp/command-view.ts'
import { encodeCommand } from '../../resp/encode.ts'
import { argumentIs } from '../argument.ts'
import type { CommandSpec } from '../spec.ts'
import type { CommandTable } from '../table.ts'

/** A script's first line, `#!lua flags=no-writes,allow-stale`, is read up to here. */
const MAX_LINE = 200

/**
 * The spec by which an EVAL is treated: EVAL_RO's, when the script's first line says `no-writes`. The server holds it to that (redis.io, "Lua API
 * reference", script flags); servers before 7.0 refuse such a line.
 */
export function asRead(commands: CommandTable, spec: CommandSpec, view: CommandView): CommandSpec {
  if (!argumentIs(view, 0, 'EVAL') || view.argc < 2) return spec
  return saysNoWrites(view, 1) ? (commands.byName('EVAL_RO') ?? spec) : spec
}

/** Whether the script in argument `i` declares that it writes nothing. */
export function saysNoWrites({ buf, start: starts, end: ends }: CommandView, i: number): boolean {
  const start = starts[i]!
  if (buf[start] !== 0x23 || buf[start + 1] !== 0x21) return false
  const line = buf.toString('latin1', start, Math.min(ends[i]!, start + MAX_LINE)).split('\n', 1)[0]!
  const flags = /\sflags=(\S*)/.exec(line)?.[1]?.split(',') ?? []
  return flags.includes('no-writes')
}

/** The call of a function as FCALL_RO, whichever it was: a server refuses it where the function may write. */
export function asReadOnlyCall(frame: Buffer): Buffer {
  parser.parse(frame, 0, frame.length)
  return encodeCommand(['FCALL_RO', ...argsOf(parser).slice(1)])
}

const parser = new CommandParser()
