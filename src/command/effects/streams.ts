import type { Reply } from '../../resp/reply.ts'
import { type Args, AS_SENT, AS_SENT_IF_CHANGED, type Effect, type EffectContext, type EffectRule } from '../effects.ts'
import { command, commands, commandsThen, copy, NOTHING, SENT, word } from './building.ts'
import { bulk, elements } from './reading.ts'
import { STREAM_GROUP_EFFECTS } from './stream-groups.ts'

export const STREAM_EFFECTS: Readonly<Record<string, EffectRule>> = {
  XADD: { kind: 'compute', effect: xadd },
  XTRIM: { kind: 'compute', effect: xtrim },
  XDEL: AS_SENT_IF_CHANGED,
  // Which ids, and what becomes of the references to them, follows from the stream and its groups alone.
  XDELEX: AS_SENT,
  XSETID: AS_SENT,
  XCFGSET: { kind: 'compute', effect: (args) => copy(args[1]!) },
  XIDMPRECORD: { kind: 'compute', effect: (args) => copy(args[1]!) },
  ...STREAM_GROUP_EFFECTS,
}

/** MAXLEN | MINID [= | ~] threshold [LIMIT n], with what 8.2 added: whether references in groups hold an entry. */
interface Trim {
  strategy: string
  /** `~`: only whole nodes go, so how many entries went depends on how this very stream is laid out in memory. */
  approximate: boolean
  threshold: Buffer
  /** KEEPREF, DELREF, ACKED, or nothing. */
  references: Buffer[]
}

interface XaddOptions {
  trim: Trim | null
  /** IDMP, IDMPAUTO: the reply may be the id of an entry that was there already. */
  idempotent: boolean
  /** Index of the id. */
  idAt: number
}

/** XADD key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [IDMPAUTO producer | IDMP producer id] [MAXLEN | MINID ...] (* | id) field value ... */
function xaddOptions(args: Args): XaddOptions {
  let idempotent = false
  const trim: Trim = { strategy: '', approximate: false, threshold: Buffer.alloc(0), references: [] }
  let i = 2
  for (; i < args.length; i++) {
    const option = word(args[i])
    if (option === 'NOMKSTREAM') continue
    if (option === 'KEEPREF' || option === 'DELREF' || option === 'ACKED') trim.references = [args[i]!]
    else if (option === 'IDMPAUTO' || option === 'IDMP') {
      idempotent = true
      i += option === 'IDMP' ? 2 : 1
    } else if (option === 'LIMIT') i++
    else if (option === 'MAXLEN' || option === 'MINID') i = readThreshold(args, i, trim)
    else break
  }
  return { trim: trim.strategy === '' ? null : trim, idempotent, idAt: i }
}

/** Reads `MAXLEN [= | ~] threshold` at `i`; gives the index of the threshold. */
function readThreshold(args: Args, i: number, trim: Trim): number {
  trim.strategy = word(args[i])
  const operator = word(args[i + 1])
  trim.approximate = operator === '~'
  const at = operator === '~' || operator === '=' ? i + 2 : i + 1
  trim.threshold = args[at] ?? trim.threshold
  return at
}

/** The id becomes the one in the reply, whether it was `*`, `ms-*` or given. An exact trim goes along; an approximate one is asked for. */
function xadd(args: Args, reply: Reply, context: EffectContext): Effect {
  const id = bulk(reply)
  if (id === null) return NOTHING
  const key = args[1]!
  const { trim, idempotent, idAt } = xaddOptions(args)
  if (idempotent || idAt >= args.length) return copy(key)
  const entry = [id, ...args.slice(idAt + 1)]
  if (trim === null) return commands(command('XADD', key, entry))
  if (!trim.approximate) {
    return commands(command('XADD', key, trim.references, trim.strategy, '=', trim.threshold, entry))
  }
  return trimmedLikePrimary(key, trim, [command('XADD', key, entry)], context)
}

/** XTRIM key MAXLEN | MINID [= | ~] threshold [LIMIT n] [KEEPREF | DELREF | ACKED] */
function xtrim(args: Args, reply: Reply, context: EffectContext): Effect {
  if (reply === 0) return NOTHING
  const trim: Trim = { strategy: '', approximate: false, threshold: Buffer.alloc(0), references: [] }
  for (let i = 2; i < args.length; i++) {
    const option = word(args[i])
    if (option === 'MAXLEN' || option === 'MINID') i = readThreshold(args, i, trim)
    else if (option === 'KEEPREF' || option === 'DELREF' || option === 'ACKED') trim.references = [args[i]!]
  }
  return trim.approximate ? trimmedLikePrimary(args[1]!, trim, [], context) : SENT
}

/**
 * An approximate trim takes whole nodes from the stream's head; what it took is what now lies before the first entry. So the primary is
 * asked for its first entry, and the shadow trimmed to exactly that. ACKED leaves entries out of the middle: no threshold says
 * which, only a copy does.
 */
function trimmedLikePrimary(key: Buffer, trim: Trim, list: readonly Args[], context: EffectContext): Effect {
  if (!context.canAsk || trim.references.some((option) => word(option) === 'ACKED')) return copy(key)
  return commandsThen(list, {
    read: command('XRANGE', key, '-', '+', 'COUNT', 1),
    keys: [key],
    effect: (reply) => {
      const entries = elements(reply)
      if (entries === null) return copy(key)
      if (entries.length === 0) return commands(command('XTRIM', key, 'MAXLEN', '=', 0, trim.references))
      const first = bulk(elements(entries[0])?.[0])
      return first === null ? copy(key) : commands(command('XTRIM', key, 'MINID', '=', first, trim.references))
    },
  })
}
