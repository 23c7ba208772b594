import type { ConnectionOwner } from '../connection/connection.ts'
import type { Detached } from './detached.ts'
import type { Loss } from './in-flight.ts'
import type { PipelineOptions } from './pipeline-options.ts'

/** What a pipeline writes to: a socket, or what stands for several. */
export interface Outlet {
  readonly writableLength: number
  /** The bytes stay as they are until their replies have come, or their command was detached. */
  write(bytes: Buffer): unknown
  cork(): void
  uncork(): void
  pause(): unknown
  resume(): unknown
}

/**
 * The command that cancels what waits on a connection, for another pipeline to the same store to send. `later`: what waits is at none of the store's servers yet, or at the moment; `impossible`: the store does
 * not know that connection, or has not said how it calls it.
 */
export type Unblocking = Buffer | 'later' | 'impossible'

/** A pipeline's way to its store: `Connection`, or for a cluster `ClusterConnection`. */
export interface PipelineConnection {
  /** Null: there is none at the moment. */
  readonly socket: Outlet | null
  /** Coarse clock, set by the owner when the store has said something. */
  lastReadMs: number
  open(): void
  openLater(open: () => void): void
  greeted(buf: Buffer, start: number, end: number): void
  proven(): boolean
  drop(unsent: 'delivered' | 'discarded'): void
  /** `answersWithinMs`: as the pipeline's. */
  tick?(nowMs: number, answersWithinMs: number): void
  /** All there was has been written to `socket`. Who answers something without asking anybody does it now, and never within `write`: who is told of a reply pushes what comes next. */
  endWrite?(): void
  /** What cancels the oldest command. `clientId`: what `ready` was told. */
  unblocking(clientId: number): Unblocking
}

export interface PipelineConnectionOwner extends ConnectionOwner {
  /** One of several servers behind it is not there at the moment. */
  parted(): void
  /** One of several servers behind it is another one than before, or was restarted, or was not there for a while. */
  renewed(): void
  /** The command whose reply is next will never get one, and the connection goes on. Gives how many more replies its owner waited for; they do not come either. */
  lostHead(loss: Loss): number
  /**
   * The command whose reply is next is answered late: from now on it is told apart, and what comes behind it is not kept waiting. Null: it has to stay where it is; `most`: so it is when it still owes
   * more replies than that. `several`: it was split, and its parts are executed at different moments.
   */
  detachHead(most: number, several: boolean): Detached | null
}

/** Makes the connections of pipelines to one store. */
export type ConnectionMaker = (options: PipelineOptions, owner: PipelineConnectionOwner) => PipelineConnection
