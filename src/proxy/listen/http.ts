import type { CommandView } from '../../resp/command-view.ts'
import { textArg } from '../session/arguments.ts'

/**
 * `POST` and `Host:` are what a browser says that a page made talk to Redis: Redis drops such a client, and would drop the shared connection if it got
 * to read the word there (`processCommand` in its server.c).
 */
export function isHttp(view: CommandView): boolean {
  const length = view.end[0]! - view.start[0]!
  return (length === 4 || length === 5) && /^(post|host:)$/i.test(textArg(view, 0))
}
