import { UnderstudyError } from '../../base/errors.ts'
import { fitsCapture, type Segment, valueThatDoesNotFit } from './key-language.ts'
import type { KeyPattern } from './pattern.ts'

/**
 * A renaming of the keys of one pattern that can be undone.
 *
 *     from   worker: {app} : {id} :jobs           to   {app} :jobs-of: {id}
 *            prefix   w0  until w1  suffix              w0     until    w1
 *
 * `apply` takes the key apart by `from` and writes the same wildcard values by `to`; `undo` is the same the other way round.
 * `between` accepts a rename only when taking the result apart by `to` gives the same values again, for every key:
 *
 *  - A value v that stands before literal F in `from` stands before literal T in `to`. Which v are possible depends on F alone
 *    (no occurrence of F may begin inside v, after its first byte; the last capture of a pattern may be anything), and values
 *    of different captures do not influence each other, because every literal ends the search for it.
 *  - So the rename can be undone for every key if and only if, for each capture, every value possible before F is possible before T.
 *    Both sets are regular; `valueThatDoesNotFit` decides it and gives a counterexample.
 *
 * The result of `apply` always matches `to`. The reverse need not hold: where `to` allows more values than `from`, some keys that match
 * `to` are the name of nothing, and `undo` answers null for them. So `undo(k2) = k1` exactly when `apply(k1) = k2`.
 */
export class KeyRename {
  readonly from: KeyPattern
  readonly to: KeyPattern
  /** fromIndex[j]: which wildcard of `from` the j-th wildcard of `to` is; toIndex is the inverse. */
  readonly #fromIndex: readonly number[]
  readonly #toIndex: readonly number[]
  /** For each wildcard of `from`: whether `undo` has to check that the value fits there. */
  readonly #guarded: readonly boolean[]
  /** Where the wildcards of the key in hand are; reused, since one call runs at a time. */
  readonly #offsets: Int32Array

  private constructor(from: KeyPattern, to: KeyPattern, fromIndex: readonly number[]) {
    this.from = from
    this.to = to
    this.#fromIndex = fromIndex
    this.#toIndex = fromIndex.map((_, i) => fromIndex.indexOf(i))
    this.#guarded = from.wildcards.map((wildcard, i) => {
      if (wildcard.name === null) return false
      return valueThatDoesNotFit(to.wildcards[this.#toIndex[i]!]!.until, wildcard.until) !== null
    })
    this.#offsets = new Int32Array(2 * fromIndex.length)
  }

  /** Throws UnderstudyError CONFIG_INVALID with a message that says why the rename cannot be undone, by an example, and what to do. */
  static between(from: KeyPattern, to: KeyPattern): KeyRename {
    const fail = (why: string): never => {
      throw new UnderstudyError('CONFIG_INVALID', `the rename "${from.text}" -> "${to.text}" ${why}`)
    }
    for (const name of from.captures) {
      if (!to.captures.includes(name)) fail(`cannot be undone: it drops {${name}}; use every capture exactly once`)
    }
    for (const name of to.captures) {
      if (!from.captures.includes(name)) fail(`uses {${name}}, which the left side does not capture`)
    }
    if (from.endsInStar !== to.endsInStar) {
      fail('cannot be undone: when one side ends in "*", the other must end in "*" too')
    }
    const fromIndex = to.wildcards.map(({ name }) => from.wildcards.findIndex((wildcard) => wildcard.name === name))
    fromIndex.forEach((index, i) => {
      const { name, until } = to.wildcards[i]!
      if (name === null) return
      const value = valueThatDoesNotFit(from.wildcards[index]!.until, until)
      if (value === null) return
      fail(
        `cannot be undone: {${name}} may be ${JSON.stringify(value.toString('latin1'))}, and then the new name does not show where {${name}} ends, ` +
          `because ${JSON.stringify(until!.toString())} is looked for from the left; make {${name}} the last capture, or follow it with the same text on both sides`,
      )
    })
    return new KeyRename(from, to, fromIndex)
  }

  /** The new name of the key `buf[start, end)`, in a new Buffer; null when it does not match `from`. */
  apply(buf: Buffer, start: number, end: number): Buffer | null {
    if (!this.from.locate(buf, start, end, this.#offsets)) return null
    return this.#write(buf, this.to, this.#fromIndex)
  }

  /** The key whose new name is `buf[start, end)`, in a new Buffer; null when no key has that name. */
  undo(buf: Buffer, start: number, end: number): Buffer | null {
    if (!this.to.locate(buf, start, end, this.#offsets)) return null
    for (let i = 0; i < this.#guarded.length; i++) {
      if (!this.#guarded[i]) continue
      const at = 2 * this.#toIndex[i]!
      if (!fitsCapture(buf, this.#offsets[at]!, this.#offsets[at + 1]!, this.from.wildcards[i]!.until)) return null
    }
    return this.#write(buf, this.from, this.#toIndex)
  }

  /** The language of the results of `apply`: what this rename occupies in the other keyspace. */
  image(): Segment[] {
    const segments: Segment[] = [{ kind: 'literal', bytes: this.to.literalPrefix }]
    this.to.wildcards.forEach(({ name, until }, i) => {
      if (name === null) segments.push({ kind: 'rest' })
      else segments.push({ kind: 'capture', until: this.from.wildcards[this.#fromIndex[i]!]!.until })
      if (until !== null) segments.push({ kind: 'literal', bytes: until })
    })
    segments.push({ kind: 'literal', bytes: this.to.literalSuffix })
    return segments
  }

  /** `source[j]`: where in the located offsets the j-th wildcard of `pattern` finds its value. */
  #write(buf: Buffer, pattern: KeyPattern, source: readonly number[]): Buffer {
    const offsets = this.#offsets
    const wildcards = pattern.wildcards
    let length = pattern.literalPrefix.length + pattern.literalSuffix.length
    for (let i = 0; i < wildcards.length; i++) {
      const at = 2 * source[i]!
      length += offsets[at + 1]! - offsets[at]! + (wildcards[i]!.until?.length ?? 0)
    }
    const key = Buffer.allocUnsafe(length)
    key.set(pattern.literalPrefix, 0)
    let end = pattern.literalPrefix.length
    for (let i = 0; i < wildcards.length; i++) {
      const at = 2 * source[i]!
      end += buf.copy(key, end, offsets[at]!, offsets[at + 1]!)
      const until = wildcards[i]!.until
      if (until !== null) {
        key.set(until, end)
        end += until.length
      }
    }
    key.set(pattern.literalSuffix, end)
    return key
  }
}
