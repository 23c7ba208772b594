import { ASTERISK, MINUS } from '../../resp/bytes.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import { MapReply, type Reply } from '../../resp/reply.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'

const INFO_SERVER = encodeOwn(['INFO', 'server'])
const HELLO = encodeOwn(['HELLO'])
const COMMAND = encodeOwn(['COMMAND'])

/** What kind of server the primary of the route `*` is: for what Understudy answers in its place. */
export class ServerIdentity {
  /** As Redis counts them, which Valkey does, too: text of INFO's `redis_version`. */
  redisVersion = '7.0.0'
  /** Valkey's own; 0: it is no Valkey. */
  valkey = 0
  /** What HELLO tells; null: not known. */
  #greeting: readonly (readonly [Buffer, Reply])[] | null = null

  /** Major and minor, as a number that can be compared: 7.2. */
  get redis(): number {
    return Number.parseFloat(this.redisVersion)
  }

  /** HELLO's reply to the client of that id: what the server tells of itself, as one server, which to a client a cluster is, too. */
  greeting(protocol: 2 | 3, id: number): MapReply {
    const told: readonly (readonly [Buffer, Reply])[] = this.#greeting ?? [
      [text('server'), text('redis')],
      [text('version'), text(this.redisVersion)],
      [text('proto'), protocol],
      [text('id'), id],
      [text('mode'), text('standalone')],
      [text('role'), text('master')],
      [text('modules'), []],
    ]
    const own: Readonly<Record<string, Reply>> = { proto: protocol, id, mode: text('standalone'), role: text('master') }
    return new MapReply(told.map(([name, value]) => [name, own[name.toString('latin1')] ?? value]))
  }

  /** Asks the server, on a connection of RESP2. */
  learn(pipeline: Pipeline): void {
    ask(pipeline, INFO_SERVER, (buf, start, end) => this.#learnVersions(buf.toString('latin1', start, end)))
    this.learnGreeting(pipeline, () => {})
  }

  /** `done`: it has been asked, whatever came of it. */
  learnGreeting(pipeline: Pipeline, done: () => void): void {
    const told = (buf: Buffer, start: number, end: number): void => {
      const reply = buf[start] === MINUS ? null : decodeReply(buf, start, end)
      this.#greeting = Array.isArray(reply) ? pairsOf(reply) : null
      done()
    }
    ask(pipeline, HELLO, told, done)
  }

  #learnVersions(info: string): void {
    const valkey = /^valkey_version:(\S+)/m.exec(info)?.[1]
    const version = /^redis_version:(\S+)/m.exec(info)?.[1] ?? valkey
    this.valkey = valkey === undefined ? 0 : Number.parseFloat(valkey)
    if (version !== undefined) this.redisVersion = version
  }
}

/** `answered`: told the reply to COMMAND; null: there will be none. */
export function askCommands(pipeline: Pipeline, answered: (reply: Reply | null) => void): void {
  const told = (buf: Buffer, start: number, end: number): void => {
    if (buf[start] === ASTERISK) answered(decodeReply(buf, start, end))
  }
  ask(pipeline, COMMAND, told, () => answered(null))
}

function ask(
  pipeline: Pipeline,
  bytes: Buffer,
  answered: (buf: Buffer, start: number, end: number) => void,
  lost: () => void = () => {},
): void {
  const settle = (_slot: object, buf: Buffer, start: number, end: number): void => answered(buf, start, end)
  pipeline.push({ settle, lost, timedOut: () => {}, detached: () => {} }, bytes, 0, bytes.length)
}

/** A map that a RESP2 reply lists; those within are modules. */
function pairsOf(list: readonly Reply[]): [Buffer, Reply][] {
  const pairs: [Buffer, Reply][] = []
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = list[i]!
    const value = list[i + 1]!
    if (!Buffer.isBuffer(name)) continue
    const isModules = name.equals(text('modules')) && Array.isArray(value)
    pairs.push([
      name,
      isModules ? value.map((one: Reply) => (Array.isArray(one) ? new MapReply(pairsOf(one)) : one)) : value,
    ])
  }
  return pairs
}

function text(value: string): Buffer {
  return Buffer.from(value)
}
