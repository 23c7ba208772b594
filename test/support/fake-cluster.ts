import type { Socket } from 'node:net'
import { slotOfKey } from '../../src/command/key-slot.ts'
import { FakeStore } from './fake-store.ts'

const SLOTS = 16_384

/** A node of a cluster that says, and keeps to itself, what a test wants. It keeps no data: every write is OK, and SCAN gives one key, named by the node. */
export class FakeNode {
  readonly id: string
  /** Its process. */
  runId: string
  /** Who serves the slots, dealt evenly, as it says itself. */
  masters: readonly FakeNode[] = []
  /** It says that the cluster is down, and refuses commands. */
  isDown = false
  /** Where it sends commands. */
  movedTo: FakeNode | null = null
  /** Answers to these wait for `release`, and what comes behind them on the same connection. `command`: its words, the first in upper case. */
  withholds: (command: string) => boolean = () => false
  /** Every command that has come. */
  readonly heard: string[] = []
  #store: FakeStore | null = null
  readonly #held = new Map<Socket, { readonly command: string; answers: string }>()

  private constructor(id: string) {
    this.id = id
    this.runId = `run${id}`
  }

  /** `count` nodes that know nothing of each other yet. */
  static async start(count: number): Promise<FakeNode[]> {
    const nodes = Array.from({ length: count }, (_, i) => new FakeNode(`node${i}`))
    for (const node of nodes)
      node.#store = await FakeStore.start(
        (args, socket) => node.#take(args, socket),
        true,
        (words, socket) => node.#behind(socket, words),
      )
    return nodes
  }

  get port(): number {
    return this.#store!.port
  }

  heardTimes(command: string): number {
    return this.heard.filter((one) => one === command).length
  }

  /** Of what is withheld, what such a command began. */
  release(which = /^/): void {
    const { withholds } = this
    this.withholds = (command) => withholds(command) && !which.test(command)
    for (const [socket, { command, answers }] of this.#held) {
      if (!which.test(command)) continue
      socket.write(answers)
      this.#held.delete(socket)
    }
  }

  disconnect(): void {
    this.#held.clear()
    this.#store!.disconnect()
  }

  async stop(): Promise<void> {
    await this.#store!.stop()
  }

  #take(args: readonly string[], socket: Socket): string | null {
    const command = args.join(' ')
    this.heard.push(command)
    const answer = this.#answer(args)
    if (this.#held.has(socket) || !this.withholds(command)) return this.#behind(socket, answer)
    this.#held.set(socket, { command, answers: answer })
    return null
  }

  /** Behind what is withheld on that connection; null: it waits there. */
  #behind(socket: Socket, answer: string): string | null {
    const held = this.#held.get(socket)
    if (held === undefined) return answer
    held.answers += answer
    return null
  }

  #answer([name = '', ...args]: readonly string[]): string {
    if (name === 'HELLO') return `%1\r\n${bulk('proto')}:3\r\n`
    if (name === 'CLUSTER' && args[0] === 'SLOTS') return this.#slots()
    if (name === 'CLUSTER') return bulk(`cluster_state:${this.isDown ? 'fail' : 'ok'}\r\n`)
    if (name === 'INFO' && args[0] === 'keyspace') return bulk('# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n')
    if (name === 'INFO') return bulk(`# Server\r\nredis_version:7.0.0\r\nrun_id:${this.runId}\r\n`)
    if (name === 'SCAN') return `*2\r\n${bulk('0')}*1\r\n${bulk(`key of ${this.id}`)}`
    if (name === 'SUBSCRIBE') return `*3\r\n${bulk('subscribe')}${bulk(args[0]!)}:1\r\n`
    if (name !== 'SET') return '-ERR unknown command\r\n'
    if (this.isDown) return '-CLUSTERDOWN The cluster is down\r\n'
    return this.movedTo === null
      ? '+OK\r\n'
      : `-MOVED ${slotOfKey(Buffer.from(args[0]!))} 127.0.0.1:${this.movedTo.port}\r\n`
  }

  #slots(): string {
    const { masters } = this
    const ranges = masters.map(({ port, id }, i) => {
      const [first, until] = [i, i + 1].map((n) => Math.floor((n * SLOTS) / masters.length)) as [number, number]
      return `*3\r\n:${first}\r\n:${until - 1}\r\n*3\r\n${bulk('127.0.0.1')}:${port}\r\n${bulk(id)}`
    })
    return `*${masters.length}\r\n${ranges.join('')}`
  }
}

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`
}

/** As a store of a configuration. */
export function storeOf(nodes: readonly FakeNode[]) {
  const endpoints = nodes.map(({ port }) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const)
  return { port: nodes[0]!.port, kind: 'cluster', endpoints } as const
}
