import { ASTERISK, DOLLAR } from '../resp/bytes.ts'
import type { CommandView } from '../resp/command-view.ts'
import { headerSize, writeHeader } from '../resp/encode.ts'
import { argumentCount, argumentIs } from './argument.ts'
import type { CommandSpec, KeySpec } from './spec.ts'

/** Which arguments of a command are keys. Made once and filled again and again: `findKeys` overwrites it. */
export class KeyPositions {
  count = 0
  /** Argument indexes, ascending, none twice. Valid up to `count`. */
  index: Int32Array = new Int32Array(16)
  patternCount = 0
  /** The same for patterns of keys (SORT BY, GET): they hold a `*`, perhaps a `->field` behind the key's part. Valid up to `patternCount`. */
  patternIndex: Int32Array = new Int32Array(4)
  /** False when the server says that there are keys which cannot be told from the arguments (a module's command with its own way). */
  complete = true

  reset(): void {
    this.count = 0
    this.patternCount = 0
    this.complete = true
  }

  add(i: number): void {
    if (this.count === this.index.length) this.index = grown(this.index)
    this.index[this.count++] = i
  }

  addPattern(i: number): void {
    if (this.patternCount === this.patternIndex.length) this.patternIndex = grown(this.patternIndex)
    this.patternIndex[this.patternCount++] = i
  }
}

function grown(array: Int32Array): Int32Array {
  const larger = new Int32Array(array.length * 2)
  larger.set(array)
  return larger
}

/**
 * Writes the positions of every key of the command into `out`. Never out of bounds: of a command with a wrong number of arguments it finds
 * what is there, or nothing (the server answers those with an error). Allocates nothing unless `out` has to grow.
 */
export function findKeys(spec: CommandSpec, view: CommandView, out: KeyPositions): void {
  out.reset()
  switch (spec.keyFinder) {
    case 'plain':
      if (spec.firstKey > 0) addRange(view, spec.firstKey, spec.lastKey, spec.keyStep, out)
      return
    case 'specs':
      for (const keySpec of spec.keySpecs!) addBySpec(keySpec, view, out)
      sortUnique(out)
      return
    case 'sort':
      addSortKeys(view, out)
      return
    case 'georadius':
      addGeoRadiusKeys(spec, view, out)
      return
    case 'migrate':
      addMigrateKeys(view, out)
      return
    case 'streams':
      addStreamKeys(view, out)
  }
}

/** `last` may be negative: counted from the end. */
function addRange(view: CommandView, first: number, last: number, step: number, out: KeyPositions): void {
  const { argc } = view
  const end = last < 0 ? argc + last : Math.min(last, argc - 1)
  for (let i = first; i <= end; i += step) out.add(i)
}

function addBySpec(spec: KeySpec, view: CommandView, out: KeyPositions): void {
  const { begin, find } = spec
  const first =
    begin.type === 'index'
      ? begin.index
      : begin.type === 'keyword'
        ? behindKeyword(view, begin.keyword, begin.startFrom)
        : -1
  if (begin.type === 'unknown' || find.type === 'unknown') out.complete = false
  else if (first < 1 || first >= view.argc) return
  else if (find.type === 'range') {
    const { lastKey, limit } = find
    // A limit of 2 means: the first half of what is left (XREAD: as many ids follow as keys).
    const share = limit > 1 ? Math.trunc((view.argc - first) / limit) : view.argc - first
    addRange(view, first, lastKey >= 0 ? first + lastKey : first + share + lastKey, find.step, out)
  } else {
    const at = first + find.keyNumIndex
    const keys = at < view.argc ? argumentCount(view, at) : -1
    const from = first + find.firstKey
    const last = from + (keys - 1) * find.step
    if (keys > 0 && last < view.argc) addRange(view, from, last, find.step, out)
  }
}

/** Index of the argument behind the keyword, -1 without. A negative `startFrom` counts from the end and searches towards the beginning. */
function behindKeyword(view: CommandView, keyword: string, startFrom: number): number {
  if (startFrom > 0) {
    for (let i = startFrom; i < view.argc - 1; i++) if (argumentIs(view, i, keyword)) return i + 1
  } else for (let i = view.argc + startFrom; i > 0; i--) if (argumentIs(view, i, keyword)) return i + 1
  return -1
}

/** Key specs may overlap and come in any order. Insertion sort: there are few, and they are nearly always in order. */
function sortUnique(out: KeyPositions): void {
  const { index } = out
  let kept = 0
  for (let i = 0; i < out.count; i++) {
    const value = index[i]!
    let at = kept
    while (at > 0 && index[at - 1]! > value) at--
    if (at > 0 && index[at - 1] === value) continue
    index.copyWithin(at + 1, at, kept)
    index[at] = value
    kept++
  }
  out.count = kept
}

/** SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination]. Of several STOREs the last counts. */
function addSortKeys(view: CommandView, out: KeyPositions): void {
  if (view.argc < 2) return
  out.add(1)
  let store = -1
  for (let i = 2; i + 1 < view.argc; i++) {
    if (argumentIs(view, i, 'LIMIT')) i += 2
    else if (argumentIs(view, i, 'STORE')) store = ++i
    // Without a `*` (`nosort`, `#`) no key is read.
    else if ((argumentIs(view, i, 'BY') || argumentIs(view, i, 'GET')) && starIn(view, ++i) !== -1) out.addPattern(i)
  }
  if (store !== -1) out.add(store)
}

/** GEORADIUS key longitude latitude radius unit [options]; GEORADIUSBYMEMBER has a member in place of the two. */
function addGeoRadiusKeys(spec: CommandSpec, view: CommandView, out: KeyPositions): void {
  if (view.argc < 2) return
  out.add(1)
  for (let i = spec.name === 'GEORADIUS' ? 6 : 5; i + 1 < view.argc; i++) {
    if (argumentIs(view, i, 'STORE') || argumentIs(view, i, 'STOREDIST')) out.add(++i)
    else if (argumentIs(view, i, 'COUNT')) i++
  }
}

/** MIGRATE host port (key | "") database timeout [COPY] [REPLACE] [AUTH password | AUTH2 username password] [KEYS key ...] */
function addMigrateKeys(view: CommandView, out: KeyPositions): void {
  if (view.argc < 6) return
  if (view.end[3]! > view.start[3]!) {
    out.add(3)
    return
  }
  for (let i = 6; i < view.argc; i++) {
    if (argumentIs(view, i, 'KEYS')) {
      addRange(view, i + 1, -1, 1, out)
      return
    }
    if (argumentIs(view, i, 'AUTH')) i++
    else if (argumentIs(view, i, 'AUTH2')) i += 2
  }
}

/** XREAD and XREADGROUP: options, then STREAMS key ... id ... with as many ids as keys. */
function addStreamKeys(view: CommandView, out: KeyPositions): void {
  for (let i = 1; i < view.argc; i++) {
    if (argumentIs(view, i, 'STREAMS')) {
      const keys = (view.argc - i - 1) >> 1
      addRange(view, i + 1, i + keys, 1, out)
      return
    }
    if (argumentIs(view, i, 'GROUP')) i += 2
    else if (argumentIs(view, i, 'COUNT') || argumentIs(view, i, 'BLOCK') || argumentIs(view, i, 'CLAIM')) i++
  }
}

/** Gives a key's new name, or null when it keeps its own. The key is `buf[start .. end)`. */
export type RenameKey = (buf: Buffer, start: number, end: number) => Buffer | null

/**
 * The command as multibulk with its keys renamed; a fresh buffer. `renamePattern` gets the key's part of SORT's patterns, without the
 * `->field`; by default they are renamed as keys are (the `*` is then part of the name).
 *
 * Of a command that came as multibulk the stretches between renamed keys are copied whole, headers and all.
 */
export function rewriteKeys(
  view: CommandView,
  positions: KeyPositions,
  rename: RenameKey,
  renamePattern: RenameKey = rename,
): Buffer {
  const { buf } = view
  if (buf[view.frameStart] !== ASTERISK || view.argc === 0 || view.start[0]! <= view.frameStart) {
    return rewriteBare(view, positions, rename, renamePattern)
  }
  const parts: Buffer[] = []
  let copied = view.frameStart
  let k = 0
  let p = 0
  while (k < positions.count || p < positions.patternCount) {
    const key = k < positions.count ? positions.index[k]! : Number.MAX_SAFE_INTEGER
    const pattern = p < positions.patternCount ? positions.patternIndex[p]! : Number.MAX_SAFE_INTEGER
    const i = Math.min(key, pattern)
    const renamed = newName(view, i, key < pattern, rename, renamePattern)
    if (key < pattern) k++
    else p++
    if (renamed === null) continue
    // Up to the header of this argument: behind the CR LF of the one before.
    parts.push(buf.subarray(copied, view.end[i - 1]! + 2), bulkHeader(renamed.length), renamed)
    copied = view.end[i]!
  }
  parts.push(buf.subarray(copied, view.frameEnd))
  return Buffer.concat(parts)
}

/** The same for an inline command, or arguments without frames around them. */
function rewriteBare(view: CommandView, positions: KeyPositions, rename: RenameKey, renamePattern: RenameKey): Buffer {
  const args: Buffer[] = []
  for (let i = 0; i < view.argc; i++) args.push(view.buf.subarray(view.start[i], view.end[i]))
  for (let k = 0; k < positions.count; k++) {
    const i = positions.index[k]!
    args[i] = newName(view, i, true, rename, renamePattern) ?? args[i]!
  }
  for (let p = 0; p < positions.patternCount; p++) {
    const i = positions.patternIndex[p]!
    args[i] = newName(view, i, false, rename, renamePattern) ?? args[i]!
  }
  let size = headerSize(args.length)
  for (const arg of args) size += headerSize(arg.length) + arg.length + 2
  const out = Buffer.allocUnsafe(size)
  let at = writeHeader(out, 0, ASTERISK, args.length)
  for (const arg of args) {
    at = writeHeader(out, at, DOLLAR, arg.length)
    at += arg.copy(out, at)
    at += out.write('\r\n', at)
  }
  return out
}

function newName(
  view: CommandView,
  i: number,
  isKey: boolean,
  rename: RenameKey,
  renamePattern: RenameKey,
): Buffer | null {
  const { buf } = view
  const start = view.start[i]!
  const end = view.end[i]!
  if (isKey) return rename(buf, start, end)
  const keyEnd = patternKeyEnd(view, i)
  const renamed = renamePattern(buf, start, keyEnd)
  return renamed === null || keyEnd === end ? renamed : Buffer.concat([renamed, buf.subarray(keyEnd, end)])
}

function bulkHeader(length: number): Buffer {
  const header = Buffer.allocUnsafe(headerSize(length))
  writeHeader(header, 0, DOLLAR, length)
  return header
}

/** Offset of the `*` in argument `i`, -1 without. */
function starIn(view: CommandView, i: number): number {
  for (let at = view.start[i]!; at < view.end[i]!; at++) if (view.buf[at] === ASTERISK) return at
  return -1
}

/** Where a pattern's `->field` begins: behind the `*`, with something behind it (sort.c, `lookupKeyByPattern`). */
export function patternKeyEnd(view: CommandView, i: number): number {
  const { buf } = view
  const end = view.end[i]!
  for (let at = starIn(view, i) + 1; at + 2 < end; at++) if (buf[at] === 0x2d && buf[at + 1] === 0x3e) return at
  return end
}
