import { ErrorReply } from '../resp/reply.ts'
import { type BackupKey, readBackup } from './backup-file.ts'
import { EndKeys } from './end-keys.ts'
import type { JobEnvironment } from './environment.ts'
import { inOrder, type PageResult, type Step } from './in-order.ts'
import type { ListedKey } from './job-store.ts'
import type { WorkReport } from './runner.ts'
import { StoreConnections as Connections, type StoreConnections, StoreLost } from './store-connection.ts'
import type { Task } from './task.ts'

const PAGE = 500
const PAGES = 2
const RETRY_MS = 250

/**
 * Puts keys of a backup file (`cleanup --backup`) back into the route's source. A key that is there is left as it is; one whose time has come stays away.
 *
 * Begins anew when it was interrupted: what is there is left.
 */
export async function restore(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  const source = new EndKeys(config, route, 'source')
  const connections = new Connections(config, environment.endpoint)
  task.startOver()
  const work = async (keys: readonly BackupKey[]): Promise<PageResult> => {
    await task.pace(keys.length)
    for (;;) {
      try {
        return await putBack(connections, source, keys)
      } catch (error) {
        if (!(error instanceof StoreLost)) throw error
        task.throttle = `store '${error.store}' does not answer`
        await task.wait(RETRY_MS)
      }
    }
  }
  try {
    await inOrder(task, stepsOf(readBackup(options.file!, PAGE)), PAGES, work)
    const [copied, skipped, failed] = [task.counted('copied'), task.counted('skipped'), task.counted('failed')]
    return {
      summary: `${copied} keys put back, ${skipped} left as they are${failed > 0 ? `, ${failed} failed` : ''}.`,
      clean: failed === 0,
      notes: ['Left: keys that are there, and keys whose time of expiry has come.'],
    }
  } finally {
    connections.close()
  }
}

async function* stepsOf(pages: AsyncIterable<readonly BackupKey[]>): AsyncGenerator<Step<readonly BackupKey[]>> {
  for await (const page of pages) yield { page, scanned: page.length, checkpoint: {} }
}

async function putBack(connections: StoreConnections, end: EndKeys, keys: readonly BackupKey[]): Promise<PageResult> {
  const nowMs = Date.now()
  const alive = keys.filter((key) => key.expiresAtMs === null || key.expiresAtMs > nowMs)
  const failed: ListedKey[] = []
  let copied = 0
  await Promise.all(
    alive.map(async ({ database, name, expiresAtMs, payload }) => {
      const ttl = expiresAtMs === null ? 0 : Math.max(1, expiresAtMs - nowMs)
      const reply = await connections.to(end.storeName, database).ask(['RESTORE', name, String(ttl), payload])
      if (!(reply instanceof ErrorReply)) copied++
      else if (reply.code !== 'BUSYKEY') {
        failed.push({ database, key: name, class: 'failed', detail: `The store refuses it: ${reply.code}.` })
      }
    }),
  )
  return { counts: { copied, skipped: keys.length - copied - failed.length, failed: failed.length }, keys: failed }
}
