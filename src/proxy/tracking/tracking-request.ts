import type { CommandView } from '../../resp/command-view.ts'
import { bytesArg, integerArg, wordArg } from '../session/arguments.ts'
import type { Session } from '../session/session.ts'
import { clientOf } from './invalidation-recipient.ts'

/** An id that no client of a server has. */
const NOBODY = String(Number.MAX_SAFE_INTEGER)

/** `CLIENT TRACKING ON [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`, in any order. What is wrong with it is left in `words`, and the server says so. */
export interface TrackingRequest {
  readonly broadcasts: boolean
  readonly prefixes: readonly Buffer[]
  /** The client that invalidations go to, by the id that CLIENT ID gives; null: none that there is. */
  readonly redirectsTo: number | null
  /** For the server, where `redirectsTo` is null: a client that there is not, or no number. */
  readonly redirectWords: readonly (string | Buffer)[]
  /** The other options, as sent. */
  readonly words: readonly Buffer[]
}

export function trackingRequest(session: Session, view: CommandView): TrackingRequest {
  const prefixes: Buffer[] = []
  const words: Buffer[] = []
  let redirect: { readonly id: number | null; readonly word: Buffer } | null = null
  let broadcasts = false
  for (let i = 3; i < view.argc; i++) {
    const word = wordArg(view, i)
    if (word === 'BCAST') broadcasts = true
    if (word === 'PREFIX' && i + 1 < view.argc) prefixes.push(bytesArg(view, ++i))
    else if (word === 'REDIRECT' && i + 1 < view.argc && redirect === null) {
      redirect = { id: integerArg(view, i + 1), word: bytesArg(view, ++i) }
    } else words.push(bytesArg(view, i))
  }
  const known = redirect !== null && redirect.id !== null && clientOf(session, redirect.id) !== null
  return {
    broadcasts,
    prefixes,
    redirectsTo: known ? redirect!.id : null,
    redirectWords: redirect === null ? [] : ['REDIRECT', redirect.id === null ? redirect.word : NOBODY],
    words,
  }
}

/** CLIENT TRACKING OFF with its options for the server: ids of clients are Understudy's, so it is asked without one that there is, and with one that it cannot have without one that there is not. */
export function offFrameWords(session: Session, view: CommandView): (string | Buffer)[] {
  const args = Array.from({ length: view.argc }, (_, i) => bytesArg(view, i))
  const at = args.findIndex((_, i) => i >= 3 && wordArg(view, i) === 'REDIRECT')
  if (at < 0 || at + 1 >= args.length) return args
  const id = integerArg(view, at + 1)
  if (id === null) return args
  if (clientOf(session, id) === null) args[at + 1] = Buffer.from(NOBODY)
  else args.splice(at, 2)
  return args
}
