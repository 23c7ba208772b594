import { Semaphore } from '../base/semaphore.ts'
import type { Config, Endpoint } from '../config/config.ts'
import { EndKeys, type EndName } from './end-keys.ts'
import { hasKey } from './scan.ts'
import { StoreConnections } from './store-connection.ts'

/** A start must not wait longer for it; what is not known by then counts as not empty. */
const MAX_MS = 2_000

/** A configuration of hundreds of routes is looked at route by route, each with a table of routes and connections of its own: all at once they took gigabytes. */
const AT_ONCE = new Semaphore(8)

/** Whether that end of the route holds none of its keys; null: the store does not answer, or has too much else to look through. */
export function isEmptyEnd(
  config: Config,
  endpoint: (store: string) => Endpoint | null,
  route: string,
  which: EndName,
): Promise<boolean | null> {
  return AT_ONCE.run(() => probe(config, endpoint, route, which))
}

async function probe(
  config: Config,
  endpoint: (store: string) => Endpoint | null,
  route: string,
  which: EndName,
): Promise<boolean | null> {
  const connections = new StoreConnections(config, endpoint)
  const giveUp = new AbortController()
  const timer = setTimeout(() => giveUp.abort(), MAX_MS)
  const tooLate = new Promise<null>((resolve) => giveUp.signal.addEventListener('abort', () => resolve(null)))
  try {
    const end = new EndKeys(config, route, which)
    const found = hasKey(connections, config, end, giveUp.signal).then(
      (has) => !has,
      () => null,
    )
    return await Promise.race([found, tooLate])
  } finally {
    clearTimeout(timer)
    connections.close()
  }
}
