import { arityFits } from '../../command/arity.ts'
import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'

/**
 * What becomes of a command without keys: it goes to
 *
 *   any     one node: they all say the same, or what one says is as good
 *   speaker one node, and the same one as long as it can be spoken to: messages that reach the others by two ways overtake each other
 *   ok      all masters: the first error, or the first node's answer
 *   sum     all masters: the sum of their numbers
 *   list    all masters: their lists, one behind the other
 *   info    all masters: one INFO of the whole
 *   scan    node after node; the cursor says which
 *   every   all masters: of each of the things asked about, whether all of them have it
 *   some    all masters: the answer of one of those that have one, whichever
 *   common  all masters: the libraries of functions that each of them lists, with the same source where that is asked for
 *   node    the node that Understudy names behind the command's own words; any, where it names none and only asks whether the user may
 *
 * Everything else concerns one server, and a cluster has several: it is refused.
 */
export type Keyless = 'any' | 'speaker' | 'ok' | 'sum' | 'list' | 'info' | 'scan' | 'some' | 'every' | 'common' | 'node'

const TABLE: Readonly<Record<Keyless, readonly string[]>> = {
  any: [
    ...['PING', 'ECHO', 'TIME', 'EVAL', 'EVALSHA', 'EVAL_RO', 'EVALSHA_RO', 'FCALL', 'FCALL_RO', 'LOLWUT'],
    ...['COMMAND', 'COMMAND COUNT', 'COMMAND DOCS', 'COMMAND INFO', 'COMMAND LIST', 'COMMAND GETKEYS', 'CONFIG GET'],
    ...['FUNCTION DUMP', 'ACL WHOAMI', 'ACL CAT', 'AUTH'],
    // Sent to ask whether the user may.
    ...['CLIENT LIST', 'CLIENT KILL', 'CLIENT PAUSE', 'CLIENT UNPAUSE'],
  ],
  speaker: ['PUBLISH'],
  ok: [
    ...['FLUSHALL', 'FLUSHDB', 'SCRIPT LOAD', 'SCRIPT FLUSH', 'CONFIG SET', 'CONFIG RESETSTAT'],
    ...['FUNCTION LOAD', 'FUNCTION DELETE', 'FUNCTION FLUSH', 'FUNCTION RESTORE', 'HELLO'],
  ],
  sum: ['DBSIZE'],
  list: ['KEYS'],
  info: ['INFO'],
  scan: ['SCAN'],
  some: ['RANDOMKEY'],
  every: ['SCRIPT EXISTS'],
  common: ['FUNCTION LIST'],
  node: ['CLIENT UNBLOCK'],
}

const BY_NAME = new Map(Object.entries(TABLE).flatMap(([way, names]) => names.map((name) => [name, way as Keyless])))

/** By upper-case name; undefined: refused. */
export function keylessWay(name: string): Keyless | undefined {
  return BY_NAME.get(name)
}

/** Of a command as it was sent: what no server takes is any node's to refuse. */
export function wayOf(spec: CommandSpec | undefined, view: CommandView): Keyless | undefined {
  return spec === undefined || isWrong(spec, view) ? 'any' : keylessWay(spec.name)
}

/** It has too few arguments, or too many, or a subcommand that nobody knows. */
function isWrong(spec: CommandSpec, { argc }: CommandView): boolean {
  return spec.absent || (spec.subcommands !== null && argc > 1) || !arityFits(spec, argc)
}

/** How a command is refused that concerns one server: an error's text. */
export function concernsOneServer(name: string, store: string): string {
  return `ERR Understudy: ${name} concerns one server, and the store '${store}' is a cluster: ask its nodes`
}
