import { setTimeout as sleep } from 'node:timers/promises'
import { encodeCommand } from '../../src/resp/encode.ts'
import { RawClient } from '../support/raw-client.ts'
import { DATASET, type Form } from './forms.ts'

/** What one side answers: frames as text, `closed` where the connection ended. */
export type Answer = readonly string[]

/**
 * How a form is sent.
 *
 *   alone    by itself, and the next when it has been answered
 *   packet   all forms of the command in one packet
 *   whole    MULTI, the form and EXEC in one packet
 *   pinned   MULTI first; the form and EXEC when that has been answered
 *   watched  WATCH and MULTI first; the form and EXEC when they have been answered
 */
export type Way = 'alone' | 'packet' | 'whole' | 'pinned' | 'watched'

/** Far longer than any form takes: only so that a missing answer is a difference and not the end of the test. */
const SILENCE_MS = 30_000

const MULTI = encodeCommand(['MULTI'])
const EXEC = encodeCommand(['EXEC'])
const WATCH = encodeCommand(['WATCH', 'watched'])

/** One side of the comparison: the server itself, or Understudy. */
export class Peer {
  readonly #port: number
  readonly #protocol: 2 | 3
  readonly #admin: RawClient
  /** Where the store itself is emptied; null: what is asked does that. */
  readonly #store: RawClient | null
  #client: RawClient | null = null
  #sentinels = 0

  private constructor(port: number, protocol: 2 | 3, admin: RawClient, store: RawClient | null) {
    this.#port = port
    this.#protocol = protocol
    this.#admin = admin
    this.#store = store
  }

  /** `storePort`: of the store behind Understudy, where that refuses FLUSHALL. */
  static async open(port: number, protocol: 2 | 3, storePort?: number): Promise<Peer> {
    const store = storePort === undefined ? null : await RawClient.open(storePort)
    return new Peer(port, protocol, await RawClient.open(port), store)
  }

  close(): void {
    this.#admin.destroy()
    this.#store?.destroy()
    this.#client?.destroy()
  }

  /** The dataset, nothing else, and a new connection. */
  async prepare(): Promise<void> {
    this.#client?.destroy()
    this.#client = null
    const emptying = [['FLUSHALL'], ['SCRIPT', 'FLUSH'], ['FUNCTION', 'FLUSH']]
    await all(this.#store ?? this.#admin, emptying)
    await all(this.#admin, DATASET)
  }

  /** The answers to the forms, one list each; sent in one packet the answers of all are one list. */
  async ask(forms: readonly Form[], way: Way): Promise<Answer[]> {
    if (way === 'packet') return this.#askAll(forms)
    const answers: Answer[] = []
    for (const form of forms) answers.push(await this.#askOne(form, way))
    return answers
  }

  async #askOne({ args }: Form, way: Way): Promise<Answer> {
    const client = await this.#connected()
    const bytes = encodeCommand(args)
    if (way === 'alone') client.send(bytes)
    else if (way === 'whole') client.send(Buffer.concat([MULTI, bytes, EXEC]))
    else {
      client.send(way === 'watched' ? Buffer.concat([WATCH, MULTI]) : MULTI)
      await client.take(way === 'watched' ? 2 : 1)
      client.send(Buffer.concat([bytes, EXEC]))
    }
    return this.#untilSentinel(client)
  }

  async #askAll(forms: readonly Form[]): Promise<Answer[]> {
    const client = await this.#connected()
    const sentinels = forms.map(() => this.#sentinel())
    client.send(
      Buffer.concat(forms.flatMap(({ args }, i) => [encodeCommand(args), encodeCommand(['PING', sentinels[i]!])])),
    )
    const answers: Answer[] = []
    for (const sentinel of sentinels) answers.push(client.ended ? ['closed'] : await this.#until(client, sentinel))
    return answers
  }

  async #untilSentinel(client: RawClient): Promise<Answer> {
    const sentinel = this.#sentinel()
    client.command('PING', sentinel)
    return this.#until(client, sentinel)
  }

  #sentinel(): string {
    return `sentinel-${++this.#sentinels}`
  }

  async #until(client: RawClient, sentinel: string): Promise<Answer> {
    const frames: string[] = []
    for (;;) {
      const frame = await Promise.race([client.text().catch(() => 'closed'), silence()])
      if (frame === 'closed' || frame === 'silent') {
        client.destroy()
        this.#client = null
        return [...frames, frame]
      }
      if (frame.includes(sentinel)) return frames
      frames.push(frame)
    }
  }

  async #connected(): Promise<RawClient> {
    if (this.#client !== null && !this.#client.ended) return this.#client
    const client = await RawClient.open(this.#port)
    this.#client = client
    if (this.#protocol === 3) await client.ask('HELLO', 3)
    return client
  }
}

async function all(client: RawClient, commands: readonly (readonly (string | Buffer)[])[]): Promise<void> {
  client.send(Buffer.concat(commands.map((args) => encodeCommand(args))))
  await client.take(commands.length)
}

async function silence(): Promise<string> {
  await sleep(SILENCE_MS, undefined, { ref: false })
  return 'silent'
}
