import type { CommandSpec } from '../../command/spec.ts'
import { COLON } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { DataPath } from '../data-path.ts'
import { bytesArg } from '../session/arguments.ts'

/**
 * The store's reply to an application's PUBLISH or SPUBLISH with every subscriber in it: those who share a connection are one to the store. Null: as it came. The command lies in `command` from `from` to `to`,
 * the reply in `buf` at `start`.
 */
export function countedReply(
  path: DataPath,
  spec: CommandSpec,
  command: Buffer,
  from: number,
  to: number,
  buf: Buffer,
  start: number,
): Buffer | null {
  if (buf[start] !== COLON) return null
  parser.parse(command, from, to)
  const { rule, name } = path.routes.channels.atPrimary(bytesArg(parser, 1))
  const store = path.stores[rule.route.primary.store]!
  const { sharedSubscriptions } = path
  const more =
    spec.name === 'SPUBLISH'
      ? sharedSubscriptions.uncounted(store, 'ssubscribe', name)
      : sharedSubscriptions.uncounted(store, 'subscribe', name) + sharedSubscriptions.uncountedByPattern(store, name)
  return more === 0
    ? null
    : Buffer.from(`:${Number.parseInt(buf.toString('latin1', start + 1, start + 21), 10) + more}\r\n`)
}

const parser = new CommandParser()
