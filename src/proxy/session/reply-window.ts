/** Bytes of replies that a client may be owed, as far as can be foreseen. */
const WINDOW_BYTES = 8 * 1024 * 1024
const FEWEST = 16
/** Enough for 40,000 commands a second of one client whose store is 50 ms away. */
const MOST = 2_048
/** Of a client that has not been answered yet; one more for each reply that it has been given. */
const FIRST = 128

/**
 * How many replies a client may be owed before its next command waits for them. They come down the connection that all clients share: whoever asks for a thousand large values at once
 * would keep everybody waiting until they have passed, and the store would hold them all in its memory, even when the client has long been gone.
 *
 * A subscriber, a client that monitors and one that watches keys are no exception; what is queued inside MULTI is (`isInMulti`).
 *
 * How large replies will be nobody knows; they are taken to be as large as the last ones were. A few small ones, with which every client begins, say little of what it is going to ask for: it may not be owed many more than it has been given.
 */
export class ReplyWindow {
  size = FIRST
  /** Bytes of messages that the client has been sent, which say nothing of its replies. */
  pushed = 0
  #bytes = 0
  #replies = 0

  /** The client has been given so many bytes, messages among them, and replies since it came. */
  look(written: number, replies: number): void {
    const more = replies - this.#replies
    if (more === 0) return
    const bytes = written - this.pushed
    const each = (bytes - this.#bytes) / more
    this.#bytes = bytes
    this.#replies = replies
    this.size = Math.min(MOST, FIRST + replies, Math.max(FEWEST, Math.floor(WINDOW_BYTES / Math.max(each, 1))))
  }
}
