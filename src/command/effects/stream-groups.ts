import { append } from '../../base/append.ts'
import { compareIds } from '../../base/stream-id.ts'
import type { Reply } from '../../resp/reply.ts'
import { type Args, AS_SENT, AS_SENT_IF_CHANGED, type Effect, type EffectContext, type EffectRule } from '../effects.ts'
import { command, commandList, commands, commandsThen, copy, NOTHING, word } from './building.ts'
import { bulk, bulks, elements, pairs } from './reading.ts'

/**
 * Consumer groups. A delivery is brought over as Redis replicates it, by XCLAIM ... FORCE JUSTID with the primary's time, so that the
 * shadow's list of pending entries has the same owner, time and count. A consumer that owns nothing may exist on one side only: it comes
 * into being with its first entry.
 */
export const STREAM_GROUP_EFFECTS: Readonly<Record<string, EffectRule>> = {
  // `$` is the stream's last id, and the stream is the same at this place of history.
  'XGROUP CREATE': AS_SENT,
  'XGROUP SETID': AS_SENT,
  'XGROUP DESTROY': AS_SENT_IF_CHANGED,
  'XGROUP CREATECONSUMER': AS_SENT_IF_CHANGED,
  // Answers how many entries were pending, not whether there was a consumer.
  'XGROUP DELCONSUMER': AS_SENT,
  XACK: AS_SENT_IF_CHANGED,
  XACKDEL: AS_SENT,
  XNACK: { kind: 'compute', effect: (args) => copy(args[1]!) },
  XREADGROUP: { kind: 'compute', effect: xreadgroup },
  XCLAIM: { kind: 'compute', effect: xclaim },
  XAUTOCLAIM: { kind: 'compute', effect: xautoclaim },
}

interface ReadOptions {
  group: Buffer
  consumer: Buffer
  count: Buffer | null
  noack: boolean
  /** 8.4: takes over what is pending with others as well. */
  claim: boolean
  keys: readonly Buffer[]
  ids: readonly Buffer[]
}

/** XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [NOACK] [CLAIM ms] STREAMS key ... id ... */
function readOptions(args: Args): ReadOptions | null {
  const options = { group: args[0]!, consumer: args[0]!, count: null as Buffer | null, noack: false, claim: false }
  for (let i = 1; i < args.length; i++) {
    switch (word(args[i])) {
      case 'GROUP':
        options.group = args[++i]!
        options.consumer = args[++i]!
        break
      case 'COUNT':
        options.count = args[++i]!
        break
      case 'BLOCK':
        i++
        break
      case 'CLAIM':
        options.claim = true
        i++
        break
      case 'NOACK':
        options.noack = true
        break
      case 'STREAMS': {
        const streams = (args.length - i - 1) / 2
        return { ...options, keys: args.slice(i + 1, i + 1 + streams), ids: args.slice(i + 1 + streams) }
      }
      default:
        return null
    }
  }
  return null
}

function xreadgroup(args: Args, reply: Reply, context: EffectContext): Effect {
  if (reply === null) return NOTHING
  const options = readOptions(args)
  if (options === null) return copy()
  const { keys, ids } = options
  const names = new Set(keys.map((key) => key.toString('latin1')))
  // The reply names streams by key: of a key asked for twice it would not be known which answer is which.
  if (options.claim || names.size !== keys.length) return copy(keys)
  const list: Args[] = []
  for (const [name, read] of pairs(reply)) {
    const key = bulk(name)
    const entries = elements(read)
    const at = key === null ? -1 : keys.findIndex((candidate) => candidate.equals(key))
    if (key === null || entries === null || at === -1) return copy(keys)
    if (entries.length === 0) continue
    if (ids[at]!.toString() === '>') append(list, delivered(key, entries, options, context))
    else append(list, deliveredAgain(key, ids[at]!, entries, options, context))
  }
  return list.length === 0 ? NOTHING : commandList(list)
}

/**
 * New entries. XGROUP SETID afterwards not only moves the group: it marks the group's count of entries read as unknown, which the
 * store then works out from the stream. XCLAIM LASTID alone would leave the old count there, and the lag reported from it would grow for ever.
 */
function delivered(key: Buffer, entries: readonly Reply[], options: ReadOptions, context: EffectContext): Args[] {
  const { group, consumer } = options
  const ids = entries.flatMap((entry) => bulk(elements(entry)?.[0]) ?? [])
  const last = ids[ids.length - 1]!
  const moved = command('XGROUP', 'SETID', key, group, last)
  if (options.noack) return [moved]
  const when = ['TIME', context.nowMs, 'RETRYCOUNT', 1]
  return [command('XCLAIM', key, group, consumer, 0, ids, when, 'FORCE', 'JUSTID', 'LASTID', last), moved]
}

/**
 * A consumer reads again what is pending with it: that counts as one more delivery of each entry that still exists. How many there
 * were, the reply does not say, so the shadow is made to count too, by the same read; XCLAIM JUSTID then only sets the time right.
 */
function deliveredAgain(
  key: Buffer,
  after: Buffer,
  entries: readonly Reply[],
  options: ReadOptions,
  context: EffectContext,
): Args[] {
  const { group, consumer } = options
  const ids = entries.flatMap((entry) => {
    const [id, fields] = elements(entry) ?? []
    return fields === null ? [] : (bulk(id) ?? [])
  })
  if (ids.length === 0) return []
  const limit = options.count === null ? [] : ['COUNT', options.count]
  return [
    command('XREADGROUP', 'GROUP', group, consumer, limit, 'STREAMS', key, after),
    command('XCLAIM', key, group, consumer, 0, ids, 'TIME', context.nowMs, 'JUSTID'),
  ]
}

/** XCLAIM key group consumer min-idle-time id ... [IDLE ms] [TIME ms] [RETRYCOUNT n] [FORCE] [JUSTID] [LASTID id] */
function xclaim(args: Args, reply: Reply, context: EffectContext): Effect {
  const [, key, group, consumer] = args
  let i = 5
  while (i < args.length && isId(args[i]!)) i++
  const asked = args.slice(5, i).map(fullId)
  let time: Buffer | number = context.nowMs
  let justid = false
  let lastId: Buffer | null = null
  const kept: Buffer[] = []
  for (; i < args.length; i++) {
    const option = word(args[i])
    if (option === 'JUSTID') justid = true
    else if (option === 'FORCE') kept.push(args[i]!)
    else if (option === 'TIME') time = args[++i]!
    else if (option === 'IDLE') time = context.nowMs - Number(args[++i])
    else if (option === 'RETRYCOUNT' || option === 'LASTID') {
      kept.push(args[i]!, args[++i]!)
      if (option === 'LASTID') lastId = args[i]!
    } else return copy(key!)
  }
  const claimed = claimedIds(reply, justid)
  // The same id twice counts twice, and which of the two was claimed is not told.
  if (claimed === null || new Set(asked).size !== asked.length) return copy(key!)
  const list: Args[] = []
  if (claimed.length > 0) list.push(claim(key!, group!, consumer!, claimed, time, justid, kept))
  // LASTID moves the group even when nothing is claimed: no entry has the id 0-0, so nothing is claimed on the shadow either.
  else if (lastId !== null) list.push(command('XCLAIM', key!, group!, consumer!, 0, '0-0', 'JUSTID', 'LASTID', lastId))
  const taken = new Set(claimed.map((id) => id.toString('latin1')))
  const left = asked.filter((id) => !taken.has(id))
  if (left.length === 0) return list.length === 0 ? NOTHING : commandList(list)
  return forgetting(key!, group!, left, list, context)
}

/** min-idle-time 0: the primary has decided that the entries were idle long enough. */
function claim(
  key: Buffer,
  group: Buffer,
  consumer: Buffer,
  ids: readonly Buffer[],
  time: Buffer | number,
  justid: boolean,
  options: readonly Buffer[],
): Args {
  return command('XCLAIM', key, group, consumer, 0, ids, 'TIME', time, options, justid ? ['JUSTID'] : [])
}

/**
 * Ids that were asked for and not claimed: not pending, or not idle for long enough, or (since 7.0) pending although the entry is deleted, and
 * then no longer pending. To tell the last from the rest the primary is asked what is pending in their range; what is not there is
 * acknowledged on the shadow, which does nothing where it was not pending anyway.
 */
function forgetting(
  key: Buffer,
  group: Buffer,
  left: readonly string[],
  list: readonly Args[],
  context: EffectContext,
): Effect {
  if (!context.canAsk) return copy(key)
  const sorted = [...left].sort(compareIds)
  return commandsThen(list, {
    read: command('XPENDING', key, group, sorted[0]!, sorted[sorted.length - 1]!, PENDING_LIMIT),
    keys: [key],
    effect: (reply) => {
      const pending = elements(reply)
      if (pending === null || pending.length === PENDING_LIMIT) return copy(key)
      const known = new Set(pending.map((entry) => bulk(elements(entry)?.[0])?.toString('latin1')))
      const gone = left.filter((id) => !known.has(id))
      return gone.length === 0 ? NOTHING : commands(command('XACK', key, group, gone))
    },
  })
}

const PENDING_LIMIT = 1000

/** XAUTOCLAIM key group consumer min-idle-time start [COUNT n] [JUSTID], answered with `[next, claimed, deleted]`. */
function xautoclaim(args: Args, reply: Reply, context: EffectContext): Effect {
  const [, key, group, consumer] = args
  const [, entries, deleted] = elements(reply) ?? []
  const justid = args.slice(6).some((arg) => word(arg) === 'JUSTID')
  const claimed = claimedIds(entries ?? null, justid)
  if (claimed === null) return copy(key!)
  const list: Args[] = []
  if (claimed.length > 0) list.push(claim(key!, group!, consumer!, claimed, context.nowMs, justid, []))
  const gone = bulks(deleted)
  if (gone.length > 0) list.push(command('XACK', key!, group!, gone))
  return list.length === 0 ? NOTHING : commandList(list)
}

/** The ids in `[id ...]` or `[[id, fields] ...]`. null: there are entries without an id (6.2 answers nil for deleted ones), or no list. */
function claimedIds(reply: Reply, justid: boolean): Buffer[] | null {
  const items = elements(reply)
  if (items === null) return null
  const ids = items.map((item) => (justid ? bulk(item) : bulk(elements(item)?.[0])))
  return ids.every((id) => id !== null) ? ids : null
}

function isId(arg: Buffer): boolean {
  return /^\d+(?:-\d+)?$/.test(arg.toString('latin1'))
}

/** `5` is `5-0`. */
function fullId(arg: Buffer): string {
  const text = arg.toString('latin1')
  return text.includes('-') ? text : `${text}-0`
}
