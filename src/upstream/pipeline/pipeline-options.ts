import type { CoarseClock } from '../../base/clock.ts'
import type { Turn } from '../../base/turn.ts'
import type { Endpoint, StoreConfig } from '../../config/config.ts'
import type { Identity } from '../connection/handshake.ts'
import type { OwnConnections } from '../connection/own-connections.ts'
import type { Pipeline } from './pipeline.ts'
import type { ConnectionMaker } from './pipeline-connection.ts'

/** What makes a pipeline what it is; the same for all of its life. */
export interface PipelineOptions {
  readonly store: StoreConfig
  /** Asked at every attempt: a failover may have moved it. A text: there is nowhere to connect to, and why. */
  readonly endpoint: () => Endpoint | string
  readonly identity: Identity
  /** Why there is no such connection, as if the store said so when it is to be opened: an error without its `-`. Undefined or null: there may be one. */
  readonly refused?: string | null | undefined
  readonly turn: Turn
  readonly clock: CoarseClock
  /**
   * What commands do while there is no connection: `fail` at once with "not executed" (clients), or `wait` for the next connection
   * (the mirror, whose backlog is bounded by its owner).
   */
  readonly whenDown: 'fail' | 'wait'
  /**
   * Writes are at least so many ms apart (0: as soon as `turn` says so). The mirror's bytes can wait a moment for company, which saves system calls on both
   * sides; who cannot wait calls `hurry`.
   */
  readonly batchMs: number
  /** A dedicated connection: asks for its CLIENT ID, and is not opened again after a loss. */
  readonly dedicated: boolean
  /** Bytes in flight beyond which `full` is true (a great number of small commands is as much). */
  readonly limitBytes: number
  /** Of the store. Undefined: nothing is known of others. */
  readonly ownConnections?: OwnConnections | undefined
  /** Told `INFO server` of each new connection, and where that is; a text: it must not be used, and why. Undefined: it is not asked. */
  readonly met?: ((address: string, info: string) => string | null) | undefined
  /** Looked at when a connection is opened: whether that one asks. Undefined: each does. */
  readonly asksWhoItIs?: (() => boolean) | undefined
  /** Undefined: a socket to `endpoint`. */
  readonly connection?: ConnectionMaker | undefined
  readonly onState?: (pipeline: Pipeline, error: string | null) => void
}

export type PipelineState = 'idle' | 'connecting' | 'up' | 'down' | 'closed'
