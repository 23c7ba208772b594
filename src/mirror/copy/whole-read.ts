import { ErrorReply, type Reply } from '../../resp/reply.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import type { DirtyKey } from '../dirty/dirty-key.ts'
import type { OverlapTable } from '../keys/overlap.ts'
import { isUnknownCommand } from '../stores/store-errors.ts'
import type { CopyEnds } from './copy-ends.ts'
import { firstError } from './pieces/pieces.ts'
import { PrimaryReads } from './primary-reads.ts'

/** Who reads: told one of these; of a loss perhaps twice. */
export interface WholeReader {
  /** `payload` null: there is no such key. `expiresAtMs`: not above 0: never. */
  read(payload: Buffer | null, expiresAtMs: number): void
  /** The primary has turned out not to know when keys expire: asked again, it is asked how long they live. */
  unknownExpiry(): void
  /** The primary does not know DUMP. */
  unknownDump(): void
  /** A write on another connection came meanwhile: whether the copy would hold it is unknown. */
  disturbed(): void
  failed(error: string): void
}

/** Reads a key as a whole, with its expiry, at one place of history. */
export function readWhole(
  ends: CopyEnds,
  overlap: OverlapTable,
  hash: number,
  { database }: DirtyKey,
  pipeline: Pipeline,
  reader: WholeReader,
): void {
  const name = ends.onPrimary
  const absolute = !ends.primaryRefuses('PEXPIRETIME')
  const reads = new PrimaryReads(
    overlap,
    hash,
    ([dump, expiry]) => tell(ends, dump!, expiry!, absolute, reads.isDisturbed, reader),
    (error) => reader.failed(error),
  )
  reads.send(pipeline, ends.rule.route, database, [
    ['DUMP', name],
    [absolute ? 'PEXPIRETIME' : 'PTTL', name],
  ])
}

/** `absolute`: the expiry is a point in time. */
function tell(
  ends: CopyEnds,
  dump: Reply,
  expiry: Reply,
  absolute: boolean,
  isDisturbed: boolean,
  reader: WholeReader,
): void {
  if (expiry instanceof ErrorReply && absolute && isUnknownCommand(expiry.text)) {
    ends.primaryRefused('PEXPIRETIME')
    return reader.unknownExpiry()
  }
  if (dump instanceof ErrorReply && isUnknownCommand(dump.text)) {
    ends.primaryRefused('DUMP')
    return reader.unknownDump()
  }
  if (isDisturbed) return reader.disturbed()
  const error = firstError([dump, expiry])
  if (error !== null) return reader.failed(error.text)
  const time = typeof expiry === 'object' ? -1 : Number(expiry)
  // It expired between the two reads.
  const payload = Buffer.isBuffer(dump) && time !== -2 ? dump : null
  reader.read(payload, absolute ? time : ends.expiresAtMs(time))
}
