import type { CoarseClock } from '../base/clock.ts'
import type { ScriptBook } from '../command/scripts/script-book.ts'
import type { CommandTable } from '../command/table.ts'
import type { LogLine } from '../observability/log.ts'
import type { RouteTable } from '../routing/route-table.ts'
import type { Store } from '../upstream/store.ts'
import type { CopyState } from './copy/copy-state.ts'
import type { IntentLog } from './crash/intent-log.ts'
import type { FunctionBook } from './functions/function-book.ts'

/**
 * What the parts of the data path share: the generation in force. The fields are replaced as a whole by a reload, so nobody keeps a
 * copy of one beyond the current call.
 */
export interface DataPathContext {
  readonly clock: CoarseClock
  commands: CommandTable
  routes: RouteTable
  /** In the order of `routes.stores`. */
  stores: readonly Store[]
  readonly copies: CopyState
  /** Sources of the application's scripts. */
  readonly scripts: ScriptBook
  /** What the functions of the stores do. */
  readonly functions: FunctionBook
  readonly log: (line: LogLine) => void
  /** Keys that are being written, for the case of a crash; null: they are not noted. */
  intents: IntentLog | null
  /** The store has answered as a replica does: behind Sentinels it is somewhere else now. */
  readonly lookFor: (store: string) => void
}
