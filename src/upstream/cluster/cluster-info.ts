import { MINUS } from '../../resp/bytes.ts'
import { errorFrame } from '../../resp/encode.ts'
import { isOwnWord } from '../../resp/own-words.ts'
import type { Identity } from '../connection/handshake.ts'
import type { Loss } from '../pipeline/in-flight.ts'
import type { Cluster } from './cluster.ts'
import type { ClusterSender } from './cluster-sender.ts'
import { infoOf, infoOfSome, orError } from './merge.ts'
import type { Debtor, Place, ReplyPlaces } from './reply-places.ts'

/**
 * INFO of a whole cluster: that of every master, as one. Clients ask for it before they do anything else, so one node that is silent or down must not keep them out: what it said
 * last to the same user stands in for it, or else, a second later, it is left out as long as another one tells: numbers without it look like a cluster that has lost keys. Not where Understudy asks for itself: it decides by the answer, and a node that is silent may have come back as another one, behind all that waits for it. Nor for how many keys there are.
 */
export function clusterInfo(
  cluster: Cluster,
  sender: ClusterSender,
  places: ReplyPlaces,
  bytes: Buffer,
  { protocol, user }: Identity,
): void {
  const { masters } = cluster.topology!
  const text = bytes.toString('latin1')
  const asked = text.toLowerCase()
  const [, , word] = text.split('\r\n', 3)
  const isNew = isOwnWord(word!) || asked.includes('keyspace')
  const place = places.addWhole(masters.length, isNew ? orError(infoOf) : infoOfSome)
  const whole: Whole = { isTold: false, late: [] }
  for (const [i, node] of masters.entries()) {
    const part = new InfoPart(
      place,
      i,
      whole,
      cluster.infos,
      isNew ? null : `${node.id} ${protocol} ${asked}${user === null ? '' : ` ${user.key}`}`,
    )
    sender.sendTo(node, bytes, 1, part, 0)
  }
}

interface Whole {
  /** A node has said something. */
  isTold: boolean
  /** What may be left out as soon as one has. */
  readonly late: InfoPart[]
}

/** One node's. */
class InfoPart implements Place {
  readonly #place: Place
  readonly #part: number
  readonly #whole: Whole
  readonly #last: Map<string, Buffer>
  /** Of the last answer; null: only a new one will do. */
  readonly #name: string | null
  #timer: NodeJS.Timeout
  #isAnswered = false

  constructor(place: Place, part: number, whole: Whole, last: Map<string, Buffer>, name: string | null) {
    this.#place = place
    this.#part = part
    this.#whole = whole
    this.#last = last
    this.#name = name
    this.#timer = setTimeout(() => this.#isLate(), PATIENCE_MS).unref()
  }

  owedBy(_part: number, debtor: Debtor): void {
    this.#place.owedBy(this.#part, debtor)
  }

  settle(_part: number, buf: Buffer, start: number, end: number): void {
    const frame = Buffer.from(buf.subarray(start, end))
    if (this.#name !== null && frame[0] !== MINUS) {
      if (this.#last.size >= MOST_KEPT) this.#last.clear()
      this.#last.set(this.#name, frame)
    }
    this.#answer(frame)
    if (frame[0] === MINUS || this.#whole.isTold) return
    this.#whole.isTold = true
    for (const part of this.#whole.late) part.#leaveOut()
  }

  lost(loss: Loss): void {
    if (this.#isAnswered || this.#standIn()) return
    if (this.#name !== null) return this.#answer(errorFrame(loss.text))
    this.#isAnswered = true
    clearTimeout(this.#timer)
    this.#place.lost(loss)
  }

  #isLate(): void {
    if (this.#standIn() || this.#name === null) return
    this.#timer = setTimeout(() => {
      if (this.#whole.isTold) this.#leaveOut()
      else this.#whole.late.push(this)
    }, LEFT_OUT_MS).unref()
  }

  /** What has arrived already is read before: this process may have stood still, and not the node. */
  #leaveOut(): void {
    setImmediate(() => this.#answer(LATE))
  }

  #standIn(): boolean {
    const frame = this.#name === null ? undefined : this.#last.get(this.#name)
    if (frame !== undefined) this.#answer(frame)
    return frame !== undefined
  }

  #answer(frame: Buffer): void {
    if (this.#isAnswered) return
    this.#isAnswered = true
    clearTimeout(this.#timer)
    this.#place.settle(this.#part, frame, 0, frame.length)
  }
}

const LATE = errorFrame('ERR Understudy: a node of the cluster has not answered in time')
const PATIENCE_MS = 100
/** After that. */
const LEFT_OUT_MS = 1_000
const MOST_KEPT = 1_000
