import type { KeyRename } from '../config/patterns/rename.ts'
import type { KeyRule } from './route.ts'

/** What one end of a route's pattern has in a keyspace under names of its own. */
export interface Occupant {
  readonly rule: KeyRule
  readonly rename: KeyRename
  /** The end of the rule's route that has them. */
  readonly which: 'source' | 'target'
  /** The end is the route's primary: the names stand for keys of the application. Else they are the other side's copies. */
  readonly live: boolean
}
