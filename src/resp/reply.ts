/**
 * A decoded reply. RESP2 and RESP3 shapes of one value are kept apart only where RESP3 says more than RESP2.
 *
 * | wire               | here                                            |
 * |--------------------|-------------------------------------------------|
 * | `+OK`              | `SimpleReply`                                   |
 * | `-ERR ...`         | `ErrorReply`                                    |
 * | `:1`               | `number`, or `bigint` beyond 2^53               |
 * | `$3 foo`           | `Buffer` (a copy, never a view)                 |
 * | `$-1` `*-1` `_`    | `null`                                          |
 * | `*2 ...`           | array                                           |
 * | `%1 ...`           | `MapReply` (entries in order)                   |
 * | `~2 ...`           | `SetReply`                                      |
 * | `>2 ...`           | `PushReply`                                     |
 * | `,1.5`             | `DoubleReply` (text kept)                       |
 * | `#t`               | `boolean`                                       |
 * | `(123`             | `bigint`                                        |
 * | `=7 txt:foo`       | `VerbatimReply`                                 |
 * | `!5 ERR..`         | `ErrorReply`                                    |
 * | `|1 ...` then reply| the reply (attributes are dropped)              |
 */
export type Reply =
  | SimpleReply
  | ErrorReply
  | number
  | bigint
  | Buffer
  | null
  | boolean
  | DoubleReply
  | VerbatimReply
  | MapReply
  | SetReply
  | PushReply
  | readonly Reply[]

export class SimpleReply {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** An error reply is a value: nothing throws it. `code` is its first word (`ERR`, `WRONGTYPE`, `MOVED` ...). */
export class ErrorReply {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
  get code(): string {
    const space = this.text.indexOf(' ')
    return space === -1 ? this.text : this.text.slice(0, space)
  }
}

export class DoubleReply {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
  get value(): number {
    if (this.text === 'inf') return Number.POSITIVE_INFINITY
    if (this.text === '-inf') return Number.NEGATIVE_INFINITY
    return Number(this.text)
  }
}

export class VerbatimReply {
  readonly format: string
  readonly bytes: Buffer
  constructor(format: string, bytes: Buffer) {
    this.format = format
    this.bytes = bytes
  }
}

export class MapReply {
  readonly entries: readonly (readonly [Reply, Reply])[]
  constructor(entries: readonly (readonly [Reply, Reply])[]) {
    this.entries = entries
  }
}

export class SetReply {
  readonly members: readonly Reply[]
  constructor(members: readonly Reply[]) {
    this.members = members
  }
}

export class PushReply {
  readonly items: readonly Reply[]
  constructor(items: readonly Reply[]) {
    this.items = items
  }
}
