import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeCommand } from '../../resp/encode.ts'
import type { Reply } from '../../resp/reply.ts'
import { Glob } from '../../routing/glob.ts'
import { ask, pipelineTo } from '../forward/ask-stores.ts'
import { forward } from '../forward/forward.ts'
import { bytesArg } from '../session/arguments.ts'
import type { Session } from '../session/session.ts'

/**
 * PUBSUB CHANNELS and NUMSUB, and their like for shards, where channels have other names or several stores have some: every store is asked for its own, and the
 * application is told its names.
 */
export function pubsubCommand(session: Session, view: CommandView, spec: CommandSpec): boolean {
  const { routes, pendingSubscriptions } = session.path
  if (pendingSubscriptions.holdsBack(session)) return session.waitFor('answers')
  const counts = spec.name.endsWith('NUMSUB')
  const asIs = routes.channels.rules.length === 0 && !(counts && session.path.sharedSubscriptions.any)
  if (asIs || spec.name === 'PUBSUB NUMPAT') return forward(session, view, spec)
  if (counts) countSubscribers(session, view, spec)
  else listChannels(session, view, spec)
  return true
}

function countSubscribers(session: Session, view: CommandView, spec: CommandSpec): void {
  const { path } = session
  const { channels } = path.routes
  const kind = spec.name === 'PUBSUB NUMSUB' ? 'subscribe' : 'ssubscribe'
  const names: Buffer[] = []
  for (let i = 2; i < view.argc; i++) names.push(bytesArg(view, i))
  const questions = names.map((channel) => {
    const { rule, name } = channels.atPrimary(channel)
    const bytes = encodeCommand([...spec.name.split(' '), name])
    return { pipeline: pipelineTo(session, rule.route.primary.store), bytes }
  })
  ask(session, questions, (frames) =>
    frames.flatMap((frame, i): Reply[] => {
      const reply = decodeReply(frame, 0, frame.length)
      const { rule, name } = channels.atPrimary(names[i]!)
      const more = path.sharedSubscriptions.uncounted(path.stores[rule.route.primary.store]!, kind, name)
      return [names[i]!, (Array.isArray(reply) ? Number(reply[1]) : 0) + more]
    }),
  )
}

function listChannels(session: Session, view: CommandView, spec: CommandSpec): void {
  const { channels, fallback } = session.path.routes
  const glob = view.argc > 2 ? new Glob(bytesArg(view, 2)) : null
  const stores = [
    ...new Set([fallback, ...channels.rules.map(({ route }) => route)].map(({ primary }) => primary.store)),
  ]
  const bytes = encodeCommand(spec.name.split(' '))
  const questions = stores.map((store) => ({ pipeline: pipelineTo(session, store), bytes }))
  ask(session, questions, (frames) => {
    const seen = new Map<string, Buffer>()
    for (const [i, frame] of frames.entries()) {
      const view = channels.viewOf(stores[i]!)
      for (const name of decodeReply(frame, 0, frame.length) as readonly Buffer[]) {
        const channel = view.nameOf(name, 0, name.length)
        if (channel !== null && glob?.matches(channel) !== false) seen.set(channel.toString('latin1'), channel)
      }
    }
    return [...seen.values()]
  })
}
