import type { ServerResponse } from 'node:http'
import type { Control, ControlEvent } from './control.ts'

/** What may wait for one slow listener. Beyond it events are left out for that listener, and it is told how many. */
const MAX_WAITING_BYTES = 256 * 1024

interface Listener {
  readonly response: ServerResponse
  dropped: number
}

/**
 * Server-sent events for everyone who listens to `/api/v1/events`. As long as somebody does, the status is read once per
 * interval, for all of them together; while nobody does, nothing runs.
 */
export class EventStreams {
  readonly #control: Control
  readonly #statusIntervalMs: number
  readonly #listeners = new Set<Listener>()
  #stop: (() => void) | null = null

  constructor(control: Control, statusIntervalMs: number) {
    this.#control = control
    this.#statusIntervalMs = statusIntervalMs
  }

  get listeners(): number {
    return this.#listeners.size
  }

  /** Makes a response a stream of events, until the client or `close` ends it. */
  open(response: ServerResponse, headers: Record<string, string>): void {
    response.writeHead(200, { ...headers, 'content-type': 'text/event-stream' })
    response.write('retry: 1000\n\n')
    const listener = { response, dropped: 0 }
    this.#listeners.add(listener)
    response.once('close', () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) this.#sleep()
    })
    if (this.#stop === null) this.#wake()
    void this.#sendStatus([listener])
  }

  /** Ends every stream. */
  close(): void {
    for (const { response } of this.#listeners) response.destroy()
    this.#listeners.clear()
    this.#sleep()
  }

  #wake(): void {
    const unsubscribe = this.#control.subscribe((event) => this.#send(event, this.#listeners))
    let reading = false
    const timer = setInterval(async () => {
      if (reading) return
      reading = true
      await this.#sendStatus(this.#listeners)
      reading = false
    }, this.#statusIntervalMs)
    this.#stop = () => {
      clearInterval(timer)
      unsubscribe()
    }
  }

  #sleep(): void {
    this.#stop?.()
    this.#stop = null
  }

  /** A status that cannot be read now is left out; the next one tells. */
  async #sendStatus(listeners: Iterable<Listener>): Promise<void> {
    try {
      this.#send({ type: 'status', data: await this.#control.status() }, listeners)
    } catch {
      this.#write(': the status could not be read\n\n', listeners)
    }
  }

  #send(event: ControlEvent, listeners: Iterable<Listener>): void {
    this.#write(`event: ${event.type}\ndata: ${JSON.stringify(event.data)}\n\n`, listeners)
  }

  #write(text: string, listeners: Iterable<Listener>): void {
    for (const listener of listeners) {
      const { response } = listener
      if (response.destroyed) continue
      if (response.writableLength + text.length > MAX_WAITING_BYTES) {
        listener.dropped++
        continue
      }
      if (listener.dropped > 0) {
        response.write(`event: dropped\ndata: {"count":${listener.dropped}}\n\n`)
        listener.dropped = 0
      }
      response.write(text)
    }
  }
}
