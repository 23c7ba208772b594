import { alphabetOf, compile, DEAD, literalsOf, nextOf } from './key-automaton.ts'
import type { Segment } from './key-language.ts'

/**
 * How much may be looked at: transitions of automata, and so the same on every machine. What is asked beyond it is answered with care instead of exactly. Languages are small, but what several
 * of them have in common may need a state for every combination of theirs.
 */
export class Work {
  #left: number

  constructor(transitions = 30_000_000) {
    this.#left = transitions
  }

  get isDone(): boolean {
    return this.#left <= 0
  }

  spend(transitions: number): void {
    this.#left -= transitions
  }
}

/** A deterministic automaton, from its state `start`. Its states are numbers; `DEAD`: nothing more can become of the key. */
export interface Walkable {
  readonly start: number
  next(state: number, byte: number): number
  accepts(state: number): boolean
}

/** One that is made as far as it is walked. */
abstract class Walked<State> {
  readonly alphabet: readonly number[]
  readonly #columns = new Uint16Array(256)
  readonly #rows: Int32Array[] = []
  readonly #numbers = new Map<string, number>()
  protected readonly states: State[] = []

  /** `alphabet`: of `alphabetOf`. A byte that is not in it is as the first one, which stands for such. */
  constructor(alphabet: readonly number[]) {
    this.alphabet = alphabet
    for (const [column, byte] of alphabet.entries()) this.#columns[byte] = column
  }

  next(state: number, byte: number): number {
    const row = this.#rows[state]!
    const column = this.#columns[byte]!
    if (row[column] === UNKNOWN) row[column] = this.#numberOf(this.walk(this.states[state]!, this.alphabet[column]!))
    return row[column]!
  }

  protected begin(state: State | null): number {
    return this.#numberOf(state)
  }

  /** Null: dead. */
  protected abstract walk(state: State, byte: number): State | null

  #numberOf(state: State | null): number {
    if (state === null) return DEAD
    const text = String(state)
    let number = this.#numbers.get(text)
    if (number === undefined) {
      number = this.states.push(state) - 1
      this.#numbers.set(text, number)
      this.#rows.push(new Int32Array(this.alphabet.length).fill(UNKNOWN))
    }
    return number
  }
}

const UNKNOWN = -2

/** One language. A state is the set of those that its automaton may be in. */
class Language extends Walked<readonly number[]> implements Walkable {
  readonly start: number
  readonly #automaton: ReturnType<typeof compile>
  readonly #certain: boolean[] = []

  constructor(segments: readonly Segment[]) {
    super(alphabetOf(literalsOf(segments)))
    this.#automaton = compile(segments, this.alphabet)
    this.start = this.begin(this.#automaton.closure(0))
  }

  accepts(state: number): boolean {
    return this.states[state]!.includes(this.#automaton.accept)
  }

  /** Whether it contains the key however it goes on, as behind the last literal of `job:*`. */
  isCertain(state: number): boolean {
    return (this.#certain[state] ??= this.states[state]!.some((one) => this.#takesAnything(one)))
  }

  #takesAnything(state: number): boolean {
    const { accept, closure, next } = this.#automaton
    return closure(state).includes(accept) && this.alphabet.every((byte) => next(state, byte).includes(state))
  }

  protected walk(states: readonly number[], byte: number): readonly number[] | null {
    const next = nextOf(this.#automaton, states, byte)
    return next.length === 0 ? null : next
  }
}

/** Made once: a large configuration asks for it with every other. */
export function languageOf(segments: readonly Segment[]): Language {
  let language = known.get(segments)
  if (language === undefined) known.set(segments, (language = new Language(segments)))
  return language
}

const known = new WeakMap<readonly Segment[], Language>()

/**
 * The keys of a language that none of some others contains. A state is that of each language that can still contain the key, as (which, its state), (which, its state)...; it is dead
 * when the first cannot, or one of the others does for certain. So of `{t}:a:{i}` without `{t}:b:{i}` and `{t}:c:{i}` those keys are not walked any further in which `:b:` or `:c:` has been found: without
 * that, each of the others would double the states.
 */
export class KeySet extends Walked<readonly number[]> implements Walkable {
  readonly segments: readonly Segment[]
  readonly except: readonly (readonly Segment[])[]
  /** The bytes that the languages name. */
  readonly named: Buffer
  readonly start: number
  readonly #languages: readonly Language[]
  readonly #work: Work

  constructor(segments: readonly Segment[], except: readonly (readonly Segment[])[], work: Work) {
    const all = [segments, ...except]
    // Those of a large configuration are many, and few bytes.
    const named = Buffer.from([...new Set(all.flatMap(literalsOf).flatMap((literal) => [...literal]))])
    super(alphabetOf([named]))
    this.named = named
    this.segments = segments
    this.except = except
    this.#work = work
    this.#languages = all.map((language) => languageOf(language))
    this.start = this.begin(this.#among(this.#languages.flatMap(({ start }, which) => [which, start])))
  }

  accepts(state: number): boolean {
    const states = this.states[state]!
    for (let i = 0; i < states.length; i += 2) {
      if (this.#languages[states[i]!]!.accepts(states[i + 1]!) !== (i === 0)) return false
    }
    return true
  }

  protected walk(states: readonly number[], byte: number): readonly number[] | null {
    this.#work.spend(states.length)
    const next: number[] = []
    for (let i = 0; i < states.length; i += 2) {
      next.push(states[i]!, this.#languages[states[i]!]!.next(states[i + 1]!, byte))
    }
    return this.#among(next)
  }

  #among(states: readonly number[]): readonly number[] | null {
    if (states[1] === DEAD) return null
    const alive = states.slice(0, 2)
    for (let i = 2; i < states.length; i += 2) {
      const [which, state] = [states[i]!, states[i + 1]!]
      if (state === DEAD) continue
      if (this.#languages[which]!.isCertain(state)) return null
      alive.push(which, state)
    }
    return alive
  }
}
