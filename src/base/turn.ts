/** Something with bytes to write once the current turn of the event loop has read all that was ready. */
export interface Flushable {
  flush(): void
}

/**
 * Collects what became ready, and flushes it in the loop's check phase, after every socket that had bytes has been read: so a hundred commands of a hundred clients
 * leave for a store in one `write`. No timer, no promise; the saving is what `benchmark/` shows as requests/s at 50 clients.
 *
 *     turn 1              turn 2              turn 3
 *     read 5 clients ──▶  read 3 clients ──▶  nobody new ──▶  one write to the store, of 8 clients
 *
 * What a client waits for leaves with its own turn (`add`). What goes to a store on a connection that many share waits for a turn that brings nothing new (`gather`): while
 * one lot is read, the next clients ask. It costs a look at what is ready, which finds nothing, and saves a write here and a read there
 * (docs/decisions/0092-commands-gather-over-turns.md).
 */
export class Turn {
  /** Flushed before bytes leave for a store: the log of what is about to be written. */
  ahead: Flushable | null = null
  readonly #leaving = new FlushList()
  readonly #gathering = new FlushList()
  /** Of clients, since what gathers was flushed. */
  #reads = 0
  #bytes = 0
  /** Of these reads, those that had happened in the turn before this one. */
  #readsBefore = 0
  /** An immediate is under way. */
  #looks = false
  readonly #flushLeaving = (): void => this.#leaving.flush()
  readonly #look = (): void => this.#lookAgain()

  /** Flushed at the end of this turn. The caller makes sure that it is in the list at most once (its own flag, cleared in `flush`). */
  add(item: Flushable): void {
    if (this.#leaving.add(item)) setImmediate(this.#flushLeaving)
  }

  /** As `add`, but flushed only when a turn has brought no more bytes of clients, or when `clientRead` says that they are enough. */
  gather(item: Flushable): void {
    this.#gathering.add(item)
    this.#lookLater()
  }

  /**
   * So many bytes of a client have been taken in. Once they are many what has gathered leaves at once: otherwise a turn with thousands of clients would keep the store idle until the
   * last one has been read, and then wait for the store itself.
   */
  clientRead(bytes: number): void {
    this.#bytes += bytes
    if (++this.#reads >= MOST_READS || this.#bytes >= MOST_BYTES) this.#flushGathered()
  }

  #lookLater(): void {
    if (this.#looks) return
    this.#looks = true
    setImmediate(this.#look)
  }

  #lookAgain(): void {
    this.#looks = false
    if (this.#gathering.empty) return
    const reads = this.#reads
    // A single one is what a client that is alone sends: nobody else is about to ask.
    if (reads > 1 && reads > this.#readsBefore) {
      this.#readsBefore = reads
      this.#lookLater()
    } else this.#flushGathered()
  }

  #flushGathered(): void {
    this.#reads = 0
    this.#readsBefore = 0
    this.#bytes = 0
    this.#gathering.flush()
  }
}

/** What is flushed together; what is added meanwhile, with the next ones. */
class FlushList {
  #items: Flushable[] = []
  #spare: Flushable[] = []

  get empty(): boolean {
    return this.#items.length === 0
  }

  /** True: it is the first one. */
  add(item: Flushable): boolean {
    return this.#items.push(item) === 1
  }

  flush(): void {
    const items = this.#items
    this.#items = this.#spare
    for (let i = 0; i < items.length; i++) items[i]!.flush()
    items.length = 0
    this.#spare = items
  }
}

/** Of clients, after which their commands leave in any case. */
const MOST_READS = 64
/** The same. Redis takes no more from a connection at once (`PROTO_IOBUF_LEN`), so more than that saves it nothing, and keeps it waiting. */
const MOST_BYTES = 16 * 1024
