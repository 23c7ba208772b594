import type { CommandSpec } from '../command/spec.ts'
import { MINUS } from '../resp/bytes.ts'
import { encodeOwn } from '../resp/own-words.ts'
import type { InFlight, ReplyOwner } from './pipeline/in-flight.ts'
import type { Pipeline } from './pipeline/pipeline.ts'

const PING = encodeOwn(['PING'])
/** What has been the oldest command for so long (seen at two looks, 20 ms apart) may wait for a script that does not end. Each that does end after so long makes us twice as patient with its connection, up to `MOST_PATIENT_MS`. */
const STALL_MS = 15
const MOST_PATIENT_MS = 100
const PROBE_EVERY_MS = 100
/** More of them do not leave in one write, behind which a script would be. */
const LOOKED_AT = 4_096

/** A pipeline that waits for a script. */
interface Stall {
  /** Of the oldest command, in the pipeline's stream: once it is answered, nobody is busy. */
  readonly position: number
  /** Whose scripts are in flight: one of them keeps the store busy. */
  readonly clients: ReadonlySet<object>
  isBusy: boolean
}

/**
 * Finds out when a store is busy with a script that came down a shared connection. Redis answers everybody else `-BUSY` then, but it does not read the connection of the
 * script itself, so those who share it would hear nothing. Neither does it write to it: what it executed just before the script is not answered either.
 *
 *   script ─ 20 ms ─▶ hold: nothing more is written behind it ─▶ another connection is asked ─┬─ PONG: asked again later
 *                                                                                            └─ BUSY
 *   and then, of clients that have no script there:
 *                                 not written yet                 answered BUSY, not executed
 *                                 written, and changes nothing    answered BUSY; the reply that comes when the script has ended is nobody's
 *                                 written, and may write          waits for the end of the script: it will be executed
 *                                 what comes from now on          answered BUSY
 */
export class BusyWatch {
  readonly #borrow: () => Pipeline
  readonly #release: (pipeline: Pipeline) => void
  readonly #stalled = new Map<Pipeline, Stall>()
  readonly #heads = new WeakMap<Pipeline, { position: number; sinceMs: number }>()
  readonly #patienceMs = new WeakMap<Pipeline, number>()
  #probing = false
  #lastProbeMs = Number.NEGATIVE_INFINITY

  constructor(borrow: () => Pipeline, release: (pipeline: Pipeline) => void) {
    this.#borrow = borrow
    this.#release = release
  }

  /** Now and then, for each of a store's shared pipelines. */
  look(pipeline: Pipeline, nowMs: number): void {
    const head = pipeline.state === 'up' ? pipeline.ring.peek() : undefined
    if (this.#stalled.size > 0) this.#forget(pipeline, head)
    if (head === undefined || this.#oldestForMs(pipeline, head, nowMs) < (this.#patienceMs.get(pipeline) ?? STALL_MS))
      return
    if (!this.#stalled.has(pipeline)) {
      const scripts = scriptsIn(pipeline)
      if (scripts.count === 0) return
      this.#stalled.set(pipeline, { position: head.position, clients: scripts.clients, isBusy: false })
    }
    pipeline.hold()
    if (this.#probing || nowMs - this.#lastProbeMs < PROBE_EVERY_MS) return
    this.#lastProbeMs = nowMs
    this.#probe()
  }

  /** How long the head has been the oldest command: what it waited for before, perhaps for a connection, is not the script's doing. */
  #oldestForMs(pipeline: Pipeline, head: InFlight, nowMs: number): number {
    let seen = this.#heads.get(pipeline)
    if (seen === undefined) this.#heads.set(pipeline, (seen = { position: -1, sinceMs: 0 }))
    if (seen.position !== head.position) {
      seen.position = head.position
      seen.sinceMs = nowMs
    }
    return nowMs - seen.sinceMs
  }

  #forget(pipeline: Pipeline, head: InFlight | undefined): void {
    const stall = this.#stalled.get(pipeline)
    if (stall === undefined || stall.position === head?.position) return
    this.#stalled.delete(pipeline)
    if (stall.isBusy) return
    const patienceMs = this.#patienceMs.get(pipeline) ?? STALL_MS
    this.#patienceMs.set(pipeline, Math.min(patienceMs * 2, MOST_PATIENT_MS))
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
    for (const [pipeline, stall] of this.#stalled) {
      const { ring } = pipeline
      if (ring.peek()?.position !== stall.position) continue
      stall.isBusy = true
      const { clients } = stall
      pipeline.setBusy({ text, clients })
      pipeline.separate()
      for (let i = 0; i < ring.length; i++) {
        const slot = ring.at(i)
        const { client } = slot.owner!
        if (client !== undefined && !clients.has(client) && changesNothing(slot.spec)) slot.owner!.heldUp?.(slot, text)
      }
    }
  }
}

/** What may be a script among the commands of a pipeline, as far as they are looked at, and whose. */
function scriptsIn({ ring }: Pipeline): { count: number; clients: ReadonlySet<object> } {
  const clients = new Set<object>()
  let count = 0
  for (let i = 0; i < ring.length && i < LOOKED_AT; i++) {
    const { spec, owner } = ring.at(i)
    if (!mayRunScript(spec)) continue
    count++
    if (owner!.client !== undefined) clients.add(owner!.client)
  }
  return { count, clients }
}

/** EVAL and FCALL and their kin. A command without a spec may be a module's that runs a script, or the EXEC of a transaction with one in it. */
function mayRunScript(spec: CommandSpec | null): boolean {
  return spec === null || spec.name.startsWith('EVAL') || spec.name.startsWith('FCALL')
}

/** It may be executed when nobody waits for it any more. */
function changesNothing(spec: CommandSpec | null): boolean {
  return spec !== null && !spec.write && !mayRunScript(spec) && (spec.readonly || HARMLESS.has(spec.name))
}

/** What has no keys is not called a read by Redis. */
const HARMLESS: ReadonlySet<string> = new Set([
  'PING',
  'ECHO',
  'TIME',
  'LASTSAVE',
  'CONFIG GET',
  'SCRIPT EXISTS',
  'FUNCTION LIST',
])
