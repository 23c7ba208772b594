import type { CommandView } from '../../resp/command-view.ts'
import type { DataPath } from '../data-path.ts'
import { textArg } from '../session/arguments.ts'

/**
 * `POST` and `Host:` are what a browser says that a page made talk to Redis: Redis drops such a client, and would drop the shared connection if it got
 * to read the word there (`processCommand` in its server.c).
 */
export function isHttp(view: CommandView): boolean {
  const length = view.end[0]! - view.start[0]!
  return (length === 4 || length === 5) && /^(post|host:)$/i.test(textArg(view, 0))
}

/** Says now and then that such a client was met: whoever scans the port, or looks by HTTP whether anybody is there, must not fill the log. */
export class HttpClients {
  readonly #path: DataPath
  #saidMs = Number.NEGATIVE_INFINITY

  constructor(path: DataPath) {
    this.#path = path
  }

  disconnected(): void {
    const { clock, log } = this.#path
    if (clock.nowMs - this.#saidMs < AGAIN_MS) return
    this.#saidMs = clock.nowMs
    log({ level: 'warn', msg: 'a client speaks HTTP and was disconnected', fields: {} })
  }
}

const AGAIN_MS = 60_000
