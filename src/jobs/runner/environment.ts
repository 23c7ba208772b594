import type { Config, Endpoint } from '../../config/config.ts'
import type { KeyReads, PairOfReplies } from '../../mirror/copy/aligned-reads.ts'
import type { BatchResult, CopyOrigin } from '../../mirror/copy/copy-batch.ts'
import type { DirtyKeys, Stats } from '../../proxy/messages.ts'
import type { EndName } from '../stores/end-keys.ts'

/** What jobs ask of the rest of the product: it runs in another thread, or knows what only the main thread knows. */
export interface JobEnvironment {
  /** The configuration in force now. */
  readonly config: () => Config
  /** Where a store is now; null: not known. */
  readonly endpoint: (store: string) => Endpoint | null
  /** `redis_version` of a store; null: not known. */
  readonly version: (store: string) => string | null
  /** Why a store does not answer the look at it each second, or not every slot of a cluster can be reached; null: all is well, or not known. */
  readonly ailment: (store: string) => string | null
  readonly dataPath: DataPathPort
  /** The source of the route is incomplete from when this resolves. */
  readonly cleaning: (route: string) => Promise<void>
  /** Throws JOB_REFUSED while the authority of the route is about to move. */
  readonly mustStay: (route: string) => void
  /** Keys of a backup are put into the source of the route from when this resolves: also such as its application has deleted since. */
  readonly restoring: (route: string) => Promise<void>
  /** Keys of a route that the comparer has found to differ. */
  readonly mismatchedKeys: (route: string) => readonly FoundKey[]
  /** These keys are equal on both sides; `sinceMs` (ms since the epoch): what the comparer has found before is over. */
  readonly mended: (route: string, database: number, keys: readonly Buffer[], sinceMs: number) => void
}

/** The data path's thread, as jobs see it. */
export interface DataPathPort {
  /** State copies of keys (application names, packed), `window` at a time, from the primary that `origin` tells of: of none once the routes are others. */
  copy(origin: CopyOrigin, database: number, keys: Uint8Array<ArrayBuffer>, window: number): Promise<BatchResult>
  /**
   * The job is about to write these keys (packed application names) to `store`, their primary, itself: from when this resolves until `wrote` they are dirty after a crash, and a switch waits. Gives the number for `wrote`; null: the store is not their primary any more, and they are not to
   * be written.
   */
  writing(store: string, database: number, keys: Uint8Array<ArrayBuffer>): Promise<number | null>
  /** It has, and had those copied that are not among `doubtful` (packed): these are dirty now. False: the store has not remained their primary, so none of them is, and their routes need a verify. */
  wrote(number: number, doubtful: Uint8Array<ArrayBuffer>): Promise<boolean>
  readPairs(database: number, list: readonly KeyReads[]): Promise<PairOfReplies[]>
  /** Changes with everything that asks for a verify of the route. */
  verifyTicket(route: string): Promise<string>
  /** A verify that began at `ticket` found no difference. */
  verified(route: string, ticket: string): Promise<void>
  dirtyKeys(route: string, limit: number): Promise<DirtyKeys[]>
  stats(): Promise<Stats>
}

/** A key by its application's name. */
export interface NamedKey {
  readonly database: number
  readonly key: Buffer
}

/** A key that the comparer has found to differ, with the end that was the primary when it did last. */
export interface FoundKey extends NamedKey {
  readonly primary: EndName
}
