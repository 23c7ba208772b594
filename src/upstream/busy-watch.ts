import { MINUS } from '../resp/bytes.ts'
import { encodeCommand } from '../resp/encode.ts'
import type { InFlight, ReplyOwner } from './in-flight.ts'
import type { Pipeline } from './pipeline.ts'

const PING = encodeCommand(['PING'])
/** A script that has not answered for so long may be one that does not end. */
const STALL_MS = 100
const PROBE_EVERY_MS = 100

/**
 * Finds out when a store is busy with a script that came down a shared connection. Redis answers everybody else `-BUSY` then, but it does not read the connection of the
 * script itself, so those who share it would hear nothing. Another connection is asked: while that one is told BUSY, new commands are answered with the
 * same words (`Pipeline.busy`), and none of them is left to be executed when nobody waits for it any more. What was sent before waits for the end of the script.
 */
export class BusyWatch {
  readonly #borrow: () => Pipeline
  readonly #release: (pipeline: Pipeline) => void
  /** The command each pipeline waits for, by its place in the stream: once it is answered, nobody is busy with it. */
  readonly #stalled = new Map<Pipeline, number>()
  #probing = false
  #lastProbeMs = Number.NEGATIVE_INFINITY

  constructor(borrow: () => Pipeline, release: (pipeline: Pipeline) => void) {
    this.#borrow = borrow
    this.#release = release
  }

  /** Now and then, for each of a store's shared pipelines. */
  look(pipeline: Pipeline, nowMs: number): void {
    const head = pipeline.state === 'up' ? pipeline.ring.peek() : undefined
    if (head === undefined || nowMs - head.queuedAtMs < STALL_MS || !mayRunScript(head)) {
      if (this.#stalled.size > 0) this.#stalled.delete(pipeline)
      return
    }
    this.#stalled.set(pipeline, head.position)
    if (this.#probing || nowMs - this.#lastProbeMs < PROBE_EVERY_MS) return
    this.#lastProbeMs = nowMs
    this.#probe()
  }

  #probe(): void {
    this.#probing = true
    const pipeline = this.#borrow()
    pipeline.answersWithinMs = 1_000
    const owner: ReplyOwner = {
      settle: (_slot, buf, start, end) => {
        this.#probing = false
        const text = buf[start] === MINUS ? buf.toString('latin1', start + 1, end - 2) : ''
        if (text.startsWith('BUSY ')) this.#isBusy(text)
        else this.#stalled.clear()
        queueMicrotask(() => this.#release(pipeline))
      },
      lost: () => {
        this.#probing = false
      },
      timedOut: () => {},
    }
    pipeline.push(owner, PING, 0, PING.length)
  }

  #isBusy(text: string): void {
    for (const [pipeline, position] of this.#stalled) {
      if (pipeline.ring.peek()?.position === position) pipeline.busy = text
      else this.#stalled.delete(pipeline)
    }
  }
}

/** EVAL and its kin, FCALL, and the last part of a transaction, which may have any of them in it. A command without a spec may be a module's that runs a script. */
function mayRunScript({ spec }: InFlight): boolean {
  return spec === null || /^(EVAL|FCALL|EXEC|MULTI)/.test(spec.name)
}
