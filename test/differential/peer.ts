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

/** Far longer than any form takes: a missing answer is to be told with the form's name before the test's own time is over. */
const SILENCE_MS = 60_000

const MULTI = encodeCommand(['MULTI'])
const EXEC = encodeCommand(['EXEC'])
const WATCH = encodeCommand(['WATCH', 'watched'])

interface Sentinel {
  /** The form, for who reads of a failure. */
  readonly of: string
  readonly text: string
  readonly bytes: Buffer
}

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
    await all(this.#store ?? this.#admin, [['FLUSHALL'], ['FUNCTION', 'FLUSH']])
    // Understudy loads what it knows of scripts again, and knows what it has been told.
    await all(this.#admin, [['SCRIPT', 'FLUSH'], ...DATASET])
  }

  /** The answers to the forms, one list each; sent in one packet the answers of all are one list. */
  async ask(forms: readonly Form[], way: Way): Promise<Answer[]> {
    if (way === 'packet') return this.#askAll(forms)
    const answers: Answer[] = []
    for (const form of forms) answers.push(await this.#askOne(form, way))
    return answers
  }

  async #askOne(form: Form, way: Way): Promise<Answer> {
    const client = await this.#connected()
    const bytes = encodeCommand(form.args)
    if (way === 'alone') client.send(bytes)
    else if (way === 'whole') client.send(Buffer.concat([MULTI, bytes, EXEC]))
    else {
      client.send(way === 'watched' ? Buffer.concat([WATCH, MULTI]) : MULTI)
      await client.take(way === 'watched' ? 2 : 1)
      client.send(Buffer.concat([bytes, EXEC]))
    }
    const sentinel = this.#sentinelOf(form, way === 'alone' && isMulti(form))
    client.send(sentinel.bytes)
    return this.#until(client, sentinel)
  }

  async #askAll(forms: readonly Form[]): Promise<Answer[]> {
    const client = await this.#connected()
    const sentinels = forms.map((form) => this.#sentinelOf(form))
    client.send(Buffer.concat(forms.flatMap(({ args }, i) => [encodeCommand(args), sentinels[i]!.bytes])))
    const answers: Answer[] = []
    for (const sentinel of sentinels) answers.push(client.ended ? ['closed'] : await this.#until(client, sentinel))
    return answers
  }

  /** What is asked behind a form, so that its answers have an end. Where PING would only be queued it is a command that does not exist. */
  #sentinelOf(form: Form, opensTransaction = isMulti(form)): Sentinel {
    const text = `sentinel-${++this.#sentinels}`
    return { of: form.text, text, bytes: encodeCommand(opensTransaction ? [text] : ['PING', text]) }
  }

  async #until(client: RawClient, sentinel: Sentinel): Promise<Answer> {
    const frames: string[] = []
    let silent = false
    const impatience = setTimeout(() => {
      silent = true
      client.destroy()
    }, SILENCE_MS)
    try {
      for (;;) {
        const frame = await client.text().catch(() => 'closed')
        if (silent) throw new Error(`no end of the answers to '${sentinel.of}' on port ${this.#port}`)
        if (frame === 'closed') {
          client.destroy()
          this.#client = null
          return [...frames, frame]
        }
        if (frame.includes(sentinel.text)) return frames
        frames.push(frame)
      }
    } finally {
      clearTimeout(impatience)
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

function isMulti({ args }: Form): boolean {
  return args[0]!.toString('latin1').toUpperCase() === 'MULTI'
}
