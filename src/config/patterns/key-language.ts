import { alphabetOf, CaptureValues, compile, DEAD, literalsOf } from './key-automaton.ts'
import { type KeySet, languageOf, type Walkable, Work } from './key-set.ts'

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
export function commonKey(a: readonly Segment[], b: readonly Segment[], work = new Work()): Buffer | null {
  if (!haveCommonKey(a, b, work)) return null
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
  // By index: `shift` of a long queue copies it.
  for (let i = 0; i < queue.length; i++) {
    const step = queue[i]!
    if (step.left === left.accept && step.right === right.accept) return spell(step)
    work.spend(alphabet.length)
    for (const byte of alphabet) visit([left.next(step.left, byte), right.next(step.right, byte)], step, byte)
  }
  return null
}

export function haveCommonKey(a: readonly Segment[], b: readonly Segment[], work: Work): boolean {
  if (differAtEnds(a, b)) return false
  const alphabet = alphabetOf([...literalsOf(a), ...literalsOf(b)])
  return firstOfBoth(languageOf(a), languageOf(b), alphabet, work, Number.POSITIVE_INFINITY) !== null
}

/** How many states of two sets are looked at before their common key is given up. */
const STATES_LIMIT = 20_000

/**
 * A shortest key that is in both sets; null when there is none. Where that is too much to find out (languages that hardly a configuration has, or hundreds of such), a key that both
 * languages contain, whatever the sets leave out.
 */
export function commonKeyOfSets(a: KeySet, b: KeySet, work: Work): Buffer | null {
  const first = firstOfSets(a, b, work)
  if (first === null) return null
  const inBoth = (other: readonly Segment[]): boolean =>
    haveCommonKey(a.segments, other, work) && haveCommonKey(b.segments, other, work)
  const outside = first === undefined ? [] : [...a.except, ...b.except].filter(inBoth)
  if (first === undefined || outside.length === 0) return commonKey(a.segments, b.segments, work)
  // As an example a key of the bytes that matter.
  const alphabet = alphabetOf([a.segments, b.segments, ...outside].flatMap(literalsOf))
  return firstOfBoth(a, b, alphabet, work, STATES_LIMIT) ?? first
}

/** Whether `commonKeyOfSets` finds one. */
export function haveCommonKeyOfSets(a: KeySet, b: KeySet, work: Work): boolean {
  return firstOfSets(a, b, work) !== null
}

/** Null: there is none; undefined: too much to find out. */
function firstOfSets(a: KeySet, b: KeySet, work: Work): Buffer | null | undefined {
  if (!haveCommonKey(a.segments, b.segments, work)) return null
  if (work.isDone) return undefined
  return firstOfBoth(a, b, alphabetOf([a.named, b.named]), work, STATES_LIMIT)
}

/** The first of the shortest keys that both contain; null: there is none; undefined: given up. */
function firstOfBoth(
  a: Walkable,
  b: Walkable,
  alphabet: readonly number[],
  work: Work,
  limit: number,
): Buffer | null | undefined {
  const queue: Step[] = []
  const seen = new Set<number>()
  const visit = (left: number, right: number, from: Step | null, byte: number): void => {
    if (left === DEAD || right === DEAD) return
    const id = left * MAX_STATES + right
    if (seen.has(id)) return
    seen.add(id)
    queue.push({ left, right, from, byte })
  }
  visit(a.start, b.start, null, -1)
  for (let i = 0; i < queue.length; i++) {
    const step = queue[i]!
    if (a.accepts(step.left) && b.accepts(step.right)) return spell(step)
    if (queue.length > limit || (limit === STATES_LIMIT && work.isDone)) return undefined
    work.spend(alphabet.length)
    for (const byte of alphabet) visit(a.next(step.left, byte), b.next(step.right, byte), step, byte)
  }
  return null
}

const MAX_STATES = 2 ** 26

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

function spell(step: Path): Buffer {
  const bytes: number[] = []
  for (let at: Path | null = step; at !== null; at = at.from) if (at.byte >= 0) bytes.push(at.byte)
  return Buffer.from(bytes.reverse())
}
