import { UnderstudyError } from '../base/errors.ts'
import type { Config } from '../config/config.ts'
import { decodeReply } from '../resp/decode.ts'
import { ErrorReply } from '../resp/reply.ts'
import { type BackupKey, BackupWriter } from './backup-file.ts'
import { EndKeys } from './end-keys.ts'
import type { JobEnvironment } from './environment.ts'
import { integerAt } from './frames.ts'
import { inOrder, type PageResult } from './in-order.ts'
import type { ListedKey } from './job-store.ts'
import { Pairs } from './pairs.ts'
import { type KeysOfRoute, routePages } from './route-pages.ts'
import type { WorkReport } from './runner.ts'
import { countKeys, type ScanPosition, scan } from './scan.ts'
import { StoreConnections } from './store-connection.ts'
import type { Task } from './task.ts'

/** One after the other: what is deleted has been compared a moment before. */
const PAGES = 2

interface Checkpoint {
  readonly at: ScanPosition | null
}

/** Throws JOB_REFUSED unless the source of the route is the side that nobody reads. */
export function mayClean(config: Config, name: string): void {
  const route = config.routes.find((other) => other.name === name)
  if (route?.phase === 'switched' || route?.phase === 'done') return
  throw new UnderstudyError(
    'JOB_REFUSED',
    `route '${name}' is in ${route?.phase}, so its source is still in use: cleanup deletes there, and waits for switched or done`,
  )
}

/**
 * Deletes the keys of the route's source, once the target has taken over: page by page, only those that are equal on both sides now, written to the backup file before. What differs stays and is listed.
 * A dry run unless it is told otherwise.
 */
export async function cleanup(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  mayClean(config, route)
  const dry = options.dryRun !== false
  const [target, source] = [new EndKeys(config, route, 'target'), new EndKeys(config, route, 'source')]
  const live = config.routes.find((other) => other.name === route)!.phase === 'switched'
  const connections = new StoreConnections(config, environment.endpoint)
  const pairs = new Pairs(environment, task, connections, target, source, live)
  const begun = task.checkpoint as Checkpoint | null
  const backup =
    dry || options.backup === undefined
      ? null
      : await BackupWriter.open(options.backup, route, source.storeName, begun !== null)

  const work = async ({ database, keys }: KeysOfRoute): Promise<PageResult> => {
    mayClean(environment.config(), route)
    await task.pace(keys.length)
    const suspects = await pairs.suspects(database, keys)
    const outcomes = await Promise.all(suspects.map((i) => pairs.now(database, keys[i]!)))
    const kept = new Map<number, ListedKey>()
    for (const [n, outcome] of outcomes.entries()) {
      const key = keys[suspects[n]!]!
      if (outcome.kind === 'failed') {
        kept.set(suspects[n]!, {
          database,
          key,
          class: 'failed',
          detail: `It could not be compared: ${outcome.reason}.`,
        })
      } else if (outcome.kind === 'different') kept.set(suspects[n]!, { database, key, ...outcome.difference })
    }
    const listed = [...kept.values()]
    const failed = listed.filter((one) => one.class === 'failed').length
    const equal = keys.filter((_, i) => !kept.has(i))
    const names = equal.map((key) => source.nameOf(key))
    if (!dry) {
      if (backup !== null) await backup.append(await pairs.reached(() => dump(connections, source, database, names)))
      await pairs.reached(() => unlink(connections, source, database, names))
    }
    return {
      counts: {
        compared: keys.length,
        deleted: equal.length,
        different: listed.length - failed,
        failed,
        skipped: listed.length,
      },
      keys: listed,
    }
  }

  try {
    if (begun === null) task.total = await pairs.reached(() => countKeys(connections, config, source.storeName))
    if (!dry) environment.cleaning(route)
    if (begun === null || begun.at !== null) {
      const pages = scan(task, connections, config, source.storeName, begun?.at ?? null)
      await inOrder(
        task,
        routePages(pages, source, (at): Checkpoint => ({ at })),
        PAGES,
        work,
      )
    }
    return report(task, dry, live)
  } finally {
    await backup?.close()
    connections.close()
  }
}

/** Names, payloads and times; what is gone meanwhile is left out. */
async function dump(
  connections: StoreConnections,
  end: EndKeys,
  database: number,
  names: readonly Buffer[],
): Promise<BackupKey[]> {
  const payloads: (Buffer | null)[] = []
  const left: number[] = []
  let error: ErrorReply | null = null
  await connections.to(end.storeName, database).forEach([['DUMP'], ['PTTL']], names, (n, buf, start, stop) => {
    if (n % 2 === 1) left.push(integerAt(buf, start) ?? -1)
    else {
      const reply = decodeReply(buf, start, stop)
      if (reply instanceof ErrorReply) error = reply
      payloads.push(Buffer.isBuffer(reply) ? reply : null)
    }
  })
  if (error !== null) throw refused(end, error)
  const nowMs = Date.now()
  return payloads.flatMap((payload, i): BackupKey[] =>
    payload === null
      ? []
      : [{ database, name: names[i]!, payload, expiresAtMs: left[i]! < 0 ? null : nowMs + left[i]! }],
  )
}

async function unlink(
  connections: StoreConnections,
  end: EndKeys,
  database: number,
  names: readonly Buffer[],
): Promise<void> {
  let error: ErrorReply | null = null
  await connections.to(end.storeName, database).forEach([['UNLINK']], names, (_, buf, start, stop) => {
    const reply = decodeReply(buf, start, stop)
    if (reply instanceof ErrorReply) error = reply
  })
  if (error !== null) throw refused(end, error)
}

function refused(end: EndKeys, reply: ErrorReply): UnderstudyError {
  return new UnderstudyError('STORE_UNREACHABLE', `store '${end.storeName}' refuses what the job needs: ${reply.text}`)
}

function report(task: Task, dry: boolean, live: boolean): WorkReport {
  const [deleted, different, failed] = [task.counted('deleted'), task.counted('different'), task.counted('failed')]
  const kept = different + failed
  return {
    summary: `${deleted} keys ${dry ? 'would be deleted' : 'deleted'}${kept > 0 ? `, ${kept} kept because the sides are not equal` : ''}.`,
    clean: kept === 0,
    notes: [
      ...(dry ? ['A dry run: --yes does it.'] : []),
      ...(live && !dry
        ? [
            'The route is in switched: writes are still mirrored to the source, which is incomplete from now on. Bring it to done.',
          ]
        : []),
    ],
  }
}
