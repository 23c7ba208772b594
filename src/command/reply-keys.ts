import { MapReply, type Reply, SetReply } from '../resp/reply.ts'
import type { Args } from './effects.ts'
import type { CommandSpec, ReplyKeys } from './spec.ts'

/**
 * COMMAND GETKEYS is not here on purpose: it repeats its own arguments, which nobody renames, so the application gets back the names it
 * gave.
 */
const REPLY_KEYS: Readonly<Record<string, ReplyKeys>> = {
  BLPOP: 'first',
  BRPOP: 'first',
  BZPOPMIN: 'first',
  BZPOPMAX: 'first',
  LMPOP: 'first',
  BLMPOP: 'first',
  ZMPOP: 'first',
  BZMPOP: 'first',
  XREAD: 'streams',
  XREADGROUP: 'streams',
  KEYS: 'list',
  'CLUSTER GETKEYSINSLOT': 'list',
  SCAN: 'scan',
  RANDOMKEY: 'single',
}

/** By upper-case name. */
export function replyKeysOf(name: string): ReplyKeys | null {
  return REPLY_KEYS[name] ?? null
}

/**
 * Commands whose errors quote a key: those on the groups of a stream, and scripts, which pass on whatever a command in them was answered. Source: the texts of t_stream.c.
 */
const QUOTING =
  /^(XREADGROUP|XPENDING|XCLAIM|XAUTOCLAIM|XGROUP|XINFO|XNACK|EVAL|EVALSHA|EVAL_RO|EVALSHA_RO|FCALL|FCALL_RO)( |$)/

/** By upper-case name. */
export function quotesKeys(name: string): boolean {
  return QUOTING.test(name)
}

/** Whether the command's replies carry keys, or its errors may, so that they must be looked at where keys are renamed. */
export function repliesWithKeys(spec: CommandSpec): boolean {
  return spec.replyKeys !== null || spec.quotesKeys
}

/**
 * Gives the application's name of a key; null: the application must not see it. Lists leave it out; elsewhere it stays, and the
 * caller, who knows, has to ask again (RANDOMKEY).
 */
export type RenameReplyKey = (key: Buffer) => Buffer | null

/**
 * The reply with the keys in it renamed, RESP2 and RESP3. null: it has none (another command, an error, a nil), so that its bytes can
 * go out as they came.
 */
export function mapReplyKeys(spec: CommandSpec, _args: Args, reply: Reply, rename: RenameReplyKey): Reply | null {
  switch (spec.replyKeys) {
    case null:
      return null
    case 'single':
      return Buffer.isBuffer(reply) ? mapKey(reply, rename) : null
    case 'list':
      return mapList(reply, rename)
    case 'scan': {
      if (!isArray(reply) || reply.length !== 2) return null
      const keys = mapList(reply[1]!, rename)
      return keys === null ? null : [reply[0]!, keys]
    }
    case 'first':
      return isArray(reply) && reply.length > 0 ? [mapKey(reply[0]!, rename), ...reply.slice(1)] : null
    case 'streams':
      if (reply instanceof MapReply) {
        return new MapReply(reply.entries.map(([key, entries]) => [mapKey(key, rename), entries] as const))
      }
      if (!isArray(reply)) return null
      return reply.map((stream) => (isArray(stream) ? [mapKey(stream[0]!, rename), ...stream.slice(1)] : stream))
  }
}

function mapKey(key: Reply, rename: RenameReplyKey): Reply {
  return Buffer.isBuffer(key) ? (rename(key) ?? key) : key
}

function mapList(reply: Reply, rename: RenameReplyKey): Reply | null {
  const keys = reply instanceof SetReply ? reply.members : isArray(reply) ? reply : null
  if (keys === null) return null
  const visible: Reply[] = []
  for (const key of keys) {
    const renamed = Buffer.isBuffer(key) ? rename(key) : key
    if (renamed !== null) visible.push(renamed)
  }
  return reply instanceof SetReply ? new SetReply(visible) : visible
}

function isArray(reply: Reply): reply is readonly Reply[] {
  return Array.isArray(reply)
}
