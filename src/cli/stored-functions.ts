import type { Config } from '../config/config.ts'
import type { FoundFunction, Functions, KnownFunction } from '../routing/plan-script.ts'

/** Functions of those stores that have been asked. */
export interface StoredFunctions extends Functions {
  /** Stores whose functions somebody wanted to know. */
  readonly wanted: ReadonlySet<string>
}

/** Before any store was asked: it is only noted which should be. */
export function unaskedFunctions(): StoredFunctions {
  const wanted = new Set<string>()
  return {
    wanted,
    find(store) {
      wanted.add(store)
      return 'unread'
    },
  }
}

/** Asks the stores, for five seconds at most: one that does not answer, or of which only the running sidecar knows where it is, stays unread. */
export async function askForFunctions(config: Config, stores: ReadonlySet<string>): Promise<Functions> {
  const { StoreConnections } = await import('../jobs/stores/store-connection.ts')
  const { readLibraries } = await import('../mirror/functions/stored-functions.ts')
  const { LIST_FUNCTIONS, librariesOf } = await import('../mirror/functions/function-list.ts')
  const { CommandTable } = await import('../command/table.ts')
  const { ErrorReply } = await import('../resp/reply.ts')
  const connections = new StoreConnections(
    () => config,
    (store) => config.stores[store]!.endpoints[0] ?? null,
    AbortSignal.timeout(PATIENCE_MS),
  )
  const known = new Map<string, ReadonlyMap<string, KnownFunction> | 'unread' | 'unreadable'>()
  for (const store of stores) {
    const { kind } = config.stores[store]!
    if (kind !== 'single' && kind !== 'cluster') continue
    try {
      const reply = await connections.to(store, 0).ask(LIST_FUNCTIONS)
      if (reply instanceof ErrorReply) known.set(store, withoutList(reply.text))
      else known.set(store, readLibraries(librariesOf(reply), CommandTable.builtin()))
    } catch {
      known.set(store, 'unread')
    }
  }
  connections.close()
  return {
    find(store, name): FoundFunction<KnownFunction> {
      const functions = known.get(store) ?? 'unread'
      return typeof functions === 'string' ? functions : (functions.get(name.toLowerCase()) ?? 'absent')
    },
  }
}

/** What an error to the question says. Whoever is not let in, or is answered later, is told nothing. */
function withoutList(error: string): ReadonlyMap<string, KnownFunction> | 'unread' | 'unreadable' {
  if (/^ERR unknown/i.test(error)) return new Map()
  return /^(ERR|NOPERM)\b/.test(error) ? 'unreadable' : 'unread'
}

const PATIENCE_MS = 5_000
