import { Cleaner, isMirrored, mayClean } from './cleaner.ts'
import { BackupReader, type BackupRecord } from './files/backup-reader.ts'
import { BackupWriter } from './files/backup-writer.ts'
import type { JobEnvironment } from './runner/environment.ts'
import { inOrder, type PageResult, type Step } from './runner/in-order.ts'
import { isDryRun } from './runner/job.ts'
import type { WorkReport } from './runner/runner.ts'
import type { Task } from './runner/task.ts'
import { type KeysOfRoute, routePages } from './scan/route-pages.ts'
import { countKeys, scanned } from './scan/scan.ts'
import type { ScanPosition } from './scan/scan-position.ts'
import { mustBeNoReplica, mustBeTwoServers, mustTakeWrites } from './scan/two-servers.ts'
import { StoreConnections } from './stores/store-connection.ts'

/** One after the other: what is deleted has been compared a moment before. */
const PAGES = 2
/** Of a backup file, what is looked at together. */
const PAGE = 400
const PAGE_BYTES = 8 * 1024 * 1024

interface Checkpoint {
  readonly pass: 'backup' | 'delete'
  /** Of the scan; null: it is over. */
  readonly at: ScanPosition | null
  /** Of the backup file, while keys are deleted that stand there: the byte behind the last one. */
  readonly from: number
  /** Bytes of the backup file that are on the disk (checkpoints of older versions do not say it); without one 0. */
  readonly written?: number
}

/** What it is when it is stored. */
function checkpoint(backup: BackupWriter | null, of: Omit<Checkpoint, 'written'>): Checkpoint {
  return {
    ...of,
    get written() {
      return backup?.synced ?? 0
    },
  }
}

/**
 * Deletes the keys of the route's source, once the target has taken over, and only those that are equal on both sides now. What differs stays and is listed. A dry run unless it is told otherwise.
 *
 *   without a backup   SCAN ─▶ compare ─▶ UNLINK, page by page
 *   with one           SCAN ─▶ compare ─▶ file, to the end; then  file ─▶ still as written down? ─▶ compare ─▶ UNLINK
 *
 * So the whole backup is on the disk before the first key is deleted, nothing is deleted that does not stand in it as it was, and a disk that is full costs no key. What has changed since it was
 * written down is written down again, behind the others.
 */
export async function cleanup(environment: JobEnvironment, task: Task): Promise<WorkReport> {
  const config = environment.config()
  const { route, options } = task.job
  mayClean(config, route)
  const dry = isDryRun(task.job)
  const connections = new StoreConnections(environment.config, environment.endpoint, task.signal)
  const cleaner = new Cleaner(environment, task, connections)
  const { source } = cleaner
  const begun = task.checkpoint as Checkpoint | null
  const path = dry ? null : (options.backup ?? null)

  const pass = async (
    name: Checkpoint['pass'],
    backup: BackupWriter | null,
    work: (page: KeysOfRoute) => Promise<PageResult>,
  ): Promise<void> => {
    if (begun === null) task.total = await cleaner.reached(() => countKeys(connections, config, source.storeName))
    else if (begun.pass !== name || begun.at === null) return
    await scanned(task, connections, config, source.storeName, begun?.at ?? null, (pages) =>
      inOrder(
        task,
        routePages(pages, source, (at) => checkpoint(backup, { pass: name, at, from: 0 })),
        PAGES,
        work,
      ),
    )
  }

  const work = async (backup: BackupWriter | null): Promise<WorkReport> => {
    if (!dry) await environment.cleaning(route)
    if (backup === null) await pass('delete', null, (page) => cleaner.clean(page, dry))
    else {
      await pass('backup', backup, (page) => cleaner.writeDown(page, backup))
      await deleteWritten(task, cleaner, backup, path!, begun?.pass === 'delete' ? begun.from : null)
    }
    const live = isMirrored(environment.config(), route)
    return report(task, { dry, live, backup: path, blindSpots: cleaner.blindSpots })
  }

  try {
    await cleaner.reached(async () => {
      await mustBeTwoServers(connections, config, source.storeName, cleaner.target.storeName)
      await mustBeNoReplica(connections, config, cleaner.target.storeName)
      await mustTakeWrites(connections, config, source.storeName)
    })
    if (path === null) return await work(null)
    const backup = await BackupWriter.open(
      path,
      route,
      source.storeName,
      `${task.job.id} ${task.job.createdAt}`,
      begun === null ? null : (begun.written ?? 0),
    )
    try {
      return await work(backup)
    } finally {
      await backup.close()
    }
  } finally {
    connections.close()
  }
}

/** Deletes what stands in the backup, from byte `from` on (null: all of it). What is written down again meanwhile stands at its end, and has its turn, too. */
async function deleteWritten(
  task: Task,
  cleaner: Cleaner,
  backup: BackupWriter,
  path: string,
  from: number | null,
): Promise<void> {
  const reader = await BackupReader.open(path, task.signal)
  try {
    if (from === null) task.total = task.done + (await reader.survey()).count
    for (let at = from ?? reader.start; at < backup.bytes; ) {
      const until = backup.bytes
      await inOrder(task, recordPages(reader, backup, at, until), PAGES, (page) => cleaner.deleteWritten(page, backup))
      at = until
    }
  } finally {
    await reader.close()
  }
}

async function* recordPages(
  reader: BackupReader,
  backup: BackupWriter,
  from: number,
  until: number,
): AsyncGenerator<Step<readonly BackupRecord[]>> {
  let page: BackupRecord[] = []
  let held = 0
  const step = (): Step<readonly BackupRecord[]> => ({
    page,
    scanned: page.length,
    checkpoint: checkpoint(backup, { pass: 'delete', at: null, from: page.at(-1)!.end }),
  })
  for await (const record of reader.keys(from)) {
    page.push(record)
    held += record.payload.length
    if (record.end >= until) break
    if (page.length < PAGE && held < PAGE_BYTES) continue
    yield step()
    page = []
    held = 0
  }
  if (page.length > 0) yield step()
}

interface Done {
  readonly dry: boolean
  readonly live: boolean
  /** Null: there is none. */
  readonly backup: string | null
  readonly blindSpots: ReadonlySet<string>
}

function report(task: Task, { dry, live, backup, blindSpots }: Done): WorkReport {
  const [different, failed] = [task.counted('different'), task.counted('failed')]
  const parts = [
    `${task.keysCounted('deleted')} ${dry ? 'would be deleted' : 'deleted'}`,
    ...(different > 0 ? [`${different} kept because the sides are not equal`] : []),
    ...(failed > 0 ? [`${failed} could not be compared${dry ? '' : ' or deleted'}`] : []),
  ]
  return {
    summary: `${parts.join(', ')}.`,
    clean: different === 0 && failed === 0,
    notes: [
      ...blindSpots,
      ...(dry ? ['A dry run: --yes does it.'] : []),
      ...(backup === null ? [] : [`What was deleted is in ${backup}: understudy restore puts it back.`]),
      ...(live && !dry
        ? [
            'The route is in switched: writes are still mirrored to the source, which is incomplete from now on. Bring it to done.',
          ]
        : []),
    ],
  }
}
