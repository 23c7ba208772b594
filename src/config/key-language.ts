import { alphabetOf, CaptureValues, compile, DEAD, literalsOf, nextOf } from './key-automaton.ts'

/**
 * Which keys a pattern, or a rename's result, stands for - as a small automaton, so that questions about *all* keys are
 * decided and not guessed: can one key match both, does every value that one capture can take also fit another.
 *
 * A language is a chain of segments:
 *
 *     literal "job:"        exactly these bytes
 *     capture until ":x"    the values of a capture that is followed by ":x" (see `CaptureValues`)
 *     rest                  anything, also nothing
 */
export type Segment =
  | { readonly kind: 'literal'; readonly bytes: Buffer }
  | { readonly kind: 'capture'; readonly until: Buffer | null }
  | { readonly kind: 'rest' }

/** A shortest key that both languages contain, or null when there is none. */
export function commonKey(a: readonly Segment[], b: readonly Segment[]): Buffer | null {
  if (differAtEnds(a, b)) return null
  const alphabet = alphabetOf([...literalsOf(a), ...literalsOf(b)])
  const left = compile(a, alphabet)
  const right = compile(b, alphabet)
  const queue: Step[] = []
  const seen = new Set<number>()
  const visit = (states: readonly [number[], number[]], from: Step | null, byte: number): void => {
    for (const l of states[0]) {
      for (const r of states[1]) {
        const id = l * right.size + r
        if (seen.has(id)) continue
        seen.add(id)
        queue.push({ left: l, right: r, from, byte })
      }
    }
  }
  visit([left.closure(0), right.closure(0)], null, -1)
  for (let step = queue.shift(); step !== undefined; step = queue.shift()) {
    if (step.left === left.accept && step.right === right.accept) return spell(step)
    for (const byte of alphabet) visit([left.next(step.left, byte), right.next(step.right, byte)], step, byte)
  }
  return null
}

/** How many states of `commonKeyOutside` are looked at before it gives up. */
const OUTSIDE_LIMIT = 20_000

/**
 * A shortest key that both languages contain and none of `except` does; null when there is none. Where that is too much to find out (languages that no configuration has), a key that both
 * contain, whatever else does.
 */
export function commonKeyOutside(
  a: readonly Segment[],
  b: readonly Segment[],
  except: readonly (readonly Segment[])[],
): Buffer | null {
  const shared = commonKey(a, b)
  if (shared === null) return null
  const outside = except.filter((other) => commonKey(a, other) !== null && commonKey(b, other) !== null)
  if (outside.length === 0) return shared
  const languages = [a, b, ...outside]
  const alphabet = alphabetOf(languages.flatMap(literalsOf))
  const automata = languages.map((language) => compile(language, alphabet))
  const queue: SetStep[] = []
  const seen = new Set<string>()
  const visit = (sets: number[][], from: SetStep | null, byte: number): void => {
    if (sets[0]!.length === 0 || sets[1]!.length === 0) return
    const id = sets.join(' ')
    if (seen.has(id)) return
    seen.add(id)
    queue.push({ sets, from, byte })
  }
  visit(
    automata.map((automaton) => automaton.closure(0)),
    null,
    -1,
  )
  // By index: `shift` of a long queue copies it.
  for (let i = 0; i < queue.length; i++) {
    const step = queue[i]!
    const accepts = step.sets.map((states, which) => states.includes(automata[which]!.accept))
    if (accepts[0]! && accepts[1]! && !accepts.slice(2).includes(true)) return spell(step)
    if (queue.length > OUTSIDE_LIMIT) return shared
    for (const byte of alphabet) {
      const next = step.sets.map((states, which) => nextOf(automata[which]!, states, byte))
      visit(next, step, byte)
    }
  }
  return null
}

/**
 * A shortest value that a capture followed by `inner` can take and one followed by `outer` cannot; null when there is none, so
 * that every value of the first fits the second. `null` as a literal means: the last capture, which takes any value.
 */
export function valueThatDoesNotFit(inner: Buffer | null, outer: Buffer | null): Buffer | null {
  const from = new CaptureValues(inner)
  const to = new CaptureValues(outer)
  const alphabet = alphabetOf([inner, outer].filter((literal) => literal !== null))
  const queue: Step[] = []
  const seen = new Set<string>()
  const visit = (left: number, right: number, step: Step | null, byte: number): void => {
    if (left === DEAD || seen.has(`${left} ${right}`)) return
    seen.add(`${left} ${right}`)
    queue.push({ left, right, from: step, byte })
  }
  // The first byte of a value may be any: the literal is looked for behind it.
  for (const byte of alphabet) visit(0, 0, null, byte)
  for (let step = queue.shift(); step !== undefined; step = queue.shift()) {
    if (from.mayEnd(step.left) && (step.right === DEAD || !to.mayEnd(step.right))) return spell(step)
    for (const byte of alphabet) {
      visit(from.next(step.left, byte), step.right === DEAD ? DEAD : to.next(step.right, byte), step, byte)
    }
  }
  return null
}

/** Whether `buf[start, end)` is a value that a capture followed by `until` can take. Allocates nothing. */
export function fitsCapture(buf: Buffer, start: number, end: number, until: Buffer | null): boolean {
  if (start >= end) return false
  if (until === null) return true
  const length = until.length
  // An occurrence that begins inside the value may reach into the literal behind it: byte i of value + until.
  next: for (let at = start + 1; at < end; at++) {
    for (let i = 0; i < length; i++) {
      const byte = at + i < end ? buf[at + i] : until[at + i - end]
      if (byte !== until[i]) continue next
    }
    return false
  }
  return true
}

/** Whether all keys of one begin or end otherwise than those of the other. Decides most pairs of a large configuration without building anything. */
export function differAtEnds(a: readonly Segment[], b: readonly Segment[]): boolean {
  const [front, otherFront] = [literalIn(a[0]), literalIn(b[0])]
  for (let i = 0; i < front.length && i < otherFront.length; i++) if (front[i] !== otherFront[i]) return true
  const [back, otherBack] = [literalIn(lastOf(a)), literalIn(lastOf(b))]
  for (let i = 1; i <= back.length && i <= otherBack.length; i++) {
    if (back[back.length - i] !== otherBack[otherBack.length - i]) return true
  }
  return false
}

/** What every key of the language begins with. */
export function beginningOf(segments: readonly Segment[]): Buffer {
  return literalIn(segments[0])
}

function lastOf(segments: readonly Segment[]): Segment | undefined {
  return segments.findLast((segment) => segment.kind !== 'literal' || segment.bytes.length > 0)
}

function literalIn(segment: Segment | undefined): Buffer {
  return segment?.kind === 'literal' ? segment.bytes : NOTHING
}

const NOTHING = Buffer.alloc(0)

interface Path {
  readonly from: Path | null
  readonly byte: number
}

interface Step extends Path {
  readonly left: number
  readonly right: number
}

/** The states of several automata, each a set. */
interface SetStep extends Path {
  readonly sets: readonly number[][]
}

function spell(step: Path): Buffer {
  const bytes: number[] = []
  for (let at: Path | null = step; at !== null; at = at.from) if (at.byte >= 0) bytes.push(at.byte)
  return Buffer.from(bytes.reverse())
}
