import type { ReplyOwner } from '../../upstream/pipeline/in-flight.ts'

/** Owns commands whose replies nobody reads. */
export class Swallow implements ReplyOwner {
  settle(): void {}

  lost(): void {}

  timedOut(): void {}
}
