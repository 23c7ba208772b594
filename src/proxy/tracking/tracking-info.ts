import { MINUS } from '../../resp/bytes.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeReply } from '../../resp/encode.ts'
import { MapReply, type Reply, SetReply } from '../../resp/reply.ts'

/** What a client has asked for, where the server has been asked for something else. */
export interface GivenTracking {
  readonly redirect: number
  readonly prefixes: readonly Buffer[]
  /** The client that invalidations go to is gone: only Understudy knows. */
  readonly broken: boolean
}

/** CLIENT TRACKINGINFO's reply with what the client gave. `protocol`: the client's. */
export function trackingInfoAsGiven(
  frame: Buffer,
  protocol: 2 | 3,
  { redirect, prefixes, broken }: GivenTracking,
): Buffer {
  if (frame[0] === MINUS) return frame
  const reply = decodeReply(frame, 0, frame.length)
  const own = (name: Reply, value: Reply): Reply => {
    const text = Buffer.isBuffer(name) ? name.toString() : ''
    if (text === 'redirect') return redirect
    if (text === 'prefixes') return value instanceof SetReply ? new SetReply(prefixes) : prefixes
    return text === 'flags' && broken ? withFlag(value, 'broken_redirect') : value
  }
  if (reply instanceof MapReply) {
    return encodeReply(new MapReply(reply.entries.map(([name, value]) => [name, own(name, value)] as const)), 3)
  }
  const items = reply as readonly Reply[]
  return encodeReply(
    items.map((item, i) => (i % 2 === 1 ? own(items[i - 1]!, item) : item)),
    protocol,
  )
}

function withFlag(flags: Reply, flag: string): Reply {
  if (flags instanceof SetReply) return new SetReply([...flags.members, Buffer.from(flag)])
  return Array.isArray(flags) ? [...(flags as Reply[]), Buffer.from(flag)] : flags
}
