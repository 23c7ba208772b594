import type { Segment } from './key-language.ts'

/** A nondeterministic automaton; `next` and `closure` include what is reached without a byte. */
interface Automaton {
  readonly size: number
  readonly accept: number
  next(state: number, byte: number): number[]
  closure(state: number): number[]
}

/** Over the bytes of `alphabet`, which has all those of the languages that it is to be compared with (`alphabetOf`). */
export function compile(segments: readonly Segment[], alphabet: readonly number[]): Automaton {
  const edges: Map<number, number>[] = [new Map()]
  const skips: (number | null)[] = [null]
  const addState = (): number => {
    skips.push(null)
    return edges.push(new Map()) - 1
  }
  let end = 0
  for (const segment of segments) {
    if (segment.kind === 'literal') {
      for (const byte of segment.bytes) {
        const next = addState()
        edges[end]!.set(byte, next)
        end = next
      }
    } else if (segment.kind === 'rest') {
      const loop = addState()
      skips[end] = loop
      for (const byte of alphabet) edges[loop]!.set(byte, loop)
      end = loop
    } else {
      const values = new CaptureValues(segment.until)
      const first = addState()
      for (let i = 1; i < values.size; i++) addState()
      const exit = addState()
      for (const byte of alphabet) edges[end]!.set(byte, first)
      for (let state = 0; state < values.size; state++) {
        if (values.mayEnd(state)) skips[first + state] = exit
        for (const byte of alphabet) {
          const next = values.next(state, byte)
          if (next !== DEAD) edges[first + state]!.set(byte, first + next)
        }
      }
      end = exit
    }
  }
  const closure = (state: number): number[] => {
    const states = [state]
    for (let skip = skips[state]; skip !== null && skip !== undefined; skip = skips[skip]) states.push(skip)
    return states
  }
  const next = (state: number, byte: number): number[] => {
    const to = edges[state]!.get(byte)
    return to === undefined ? [] : closure(to)
  }
  return { size: edges.length, accept: end, next, closure }
}

/** All states that a set of states may be in after one more byte, in their order. */
export function nextOf(automaton: Automaton, states: readonly number[], byte: number): number[] {
  return [...new Set(states.flatMap((state) => automaton.next(state, byte)))].sort((one, other) => one - other)
}

/** Every byte that a literal has, and one that stands for all others, where one is left (a readable one, for examples in messages). */
export function alphabetOf(literals: readonly Buffer[]): number[] {
  const bytes = new Set<number>()
  for (const literal of literals) for (const byte of literal) bytes.add(byte)
  const readable = Buffer.from('xyzabcdefghijklmnopqrstuvw0123456789')
  const other = [...readable, ...Array(256).keys()].find((byte) => !bytes.has(byte))
  return other === undefined ? [...bytes] : [other, ...bytes]
}

/** The bytes that a language names. */
export function literalsOf(segments: readonly Segment[]): Buffer[] {
  return segments.flatMap((segment) => {
    if (segment.kind === 'literal') return [segment.bytes]
    return segment.kind === 'capture' && segment.until !== null ? [segment.until] : []
  })
}

/** No further bytes make a value of it. */
export const DEAD = -1

/**
 * The values of a capture followed by a literal L: v such that the first occurrence of L in v+L, looked for after v's first byte,
 * is the one behind v. As an automaton over the bytes of v after the first one: state = how many bytes of L the end of
 * v matches (Knuth-Morris-Pratt); reaching all of L is death, and v may end where L can follow without completing early.
 */
export class CaptureValues {
  readonly #literal: Buffer
  readonly #endable: boolean[]
  readonly #always: boolean

  constructor(until: Buffer | null) {
    this.#always = until === null
    this.#literal = until ?? Buffer.alloc(0)
    this.#endable = Array.from({ length: Math.max(1, this.#literal.length) }, (_, state) =>
      this.#literalCanFollow(state),
    )
  }

  get size(): number {
    return this.#endable.length
  }

  next(state: number, byte: number): number {
    if (this.#always) return 0
    const length = this.#advance(state, byte)
    return length === this.#literal.length ? DEAD : length
  }

  mayEnd(state: number): boolean {
    return this.#endable[state] === true
  }

  /** The longest beginning of the literal that the text, which ended in `state` bytes of it, ends in after one more byte. */
  #advance(state: number, byte: number): number {
    const text = Buffer.concat([this.#literal.subarray(0, state), Buffer.of(byte)])
    for (let length = Math.min(text.length, this.#literal.length); length > 0; length--) {
      if (text.subarray(text.length - length).equals(this.#literal.subarray(0, length))) return length
    }
    return 0
  }

  #literalCanFollow(state: number): boolean {
    let at = state
    for (let i = 0; i < this.#literal.length - 1; i++) {
      at = this.#advance(at, this.#literal[i]!)
      if (at === this.#literal.length) return false
    }
    return true
  }
}
