/**
 * Many short byte strings, outside of the garbage collector's sight: a million keys cost their bytes rounded up, and nothing to scan.
 *
 *   slab  [ cell | cell | free ─▶ | cell | free ─▶ ... ]    one size of cell per slab, in steps of 16 bytes; free cells are chained
 *
 * A string is known by a reference and its length; both are the caller's to keep. One that does not fit into a cell has a slab of its own.
 */
export class ByteCells {
  #slabs: (Buffer | null)[] = []
  /** Numbers of slabs that were given back. */
  #vacant: number[] = []
  /** First free cell by size in units; -1: none. */
  #free: number[] = []
  #bytes = 0

  /** Memory taken, in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /** Keeps a copy of `buf[start .. end)`. Gives its reference, never negative. */
  put(buf: Uint8Array, start: number, end: number): number {
    const length = end - start
    const units = unitsOf(length)
    const at = units > MAX_UNITS ? this.#own(length) : this.#cell(units)
    const slab = this.#slabs[at >>> UNIT_BITS]!
    const from = (at & UNIT_MASK) * UNIT
    if (length <= SHORT) for (let i = 0; i < length; i++) slab[from + i] = buf[start + i]!
    else slab.set(buf.subarray(start, end), from)
    return at
  }

  equals(at: number, length: number, buf: Uint8Array, start: number, end: number): boolean {
    if (end - start !== length) return false
    const slab = this.#slabs[at >>> UNIT_BITS]!
    const from = (at & UNIT_MASK) * UNIT
    if (length > SHORT) return slab.compare(buf, start, end, from, from + length) === 0
    for (let i = 0; i < length; i++) if (slab[from + i] !== buf[start + i]) return false
    return true
  }

  /** A view, valid until the string is given back. */
  view(at: number, length: number): Buffer {
    const from = (at & UNIT_MASK) * UNIT
    return this.#slabs[at >>> UNIT_BITS]!.subarray(from, from + length)
  }

  /** Gives a string back. */
  free(at: number, length: number): void {
    const units = unitsOf(length)
    const slab = at >>> UNIT_BITS
    if (units > MAX_UNITS) {
      this.#bytes -= this.#slabs[slab]!.length
      this.#slabs[slab] = null
      this.#vacant.push(slab)
      return
    }
    this.#slabs[slab]!.writeInt32LE(this.#free[units] ?? -1, (at & UNIT_MASK) * UNIT)
    this.#free[units] = at
  }

  /** Forgets everything and lets the memory go. */
  clear(): void {
    this.#slabs = []
    this.#vacant = []
    this.#free = []
    this.#bytes = 0
  }

  #cell(units: number): number {
    const at = this.#free[units] ?? -1
    if (at !== -1) {
      this.#free[units] = this.#slabs[at >>> UNIT_BITS]!.readInt32LE((at & UNIT_MASK) * UNIT)
      return at
    }
    const number = this.#take(SLAB_BYTES)
    const slab = this.#slabs[number]!
    const first = number << UNIT_BITS
    let last = -1
    // The first is taken, the rest is chained in the order of addresses.
    for (let unit = (Math.floor(UNITS / units) - 1) * units; unit > 0; unit -= units) {
      slab.writeInt32LE(last, unit * UNIT)
      last = first | unit
    }
    this.#free[units] = last
    return first
  }

  #own(length: number): number {
    return this.#take(length) << UNIT_BITS
  }

  #take(bytes: number): number {
    const slab = Buffer.allocUnsafeSlow(bytes)
    this.#bytes += bytes
    const number = this.#vacant.pop() ?? this.#slabs.length
    this.#slabs[number] = slab
    return number
  }
}

const UNIT = 16
const UNIT_BITS = 12
const UNIT_MASK = (1 << UNIT_BITS) - 1
const UNITS = 1 << UNIT_BITS
const SLAB_BYTES = UNIT * UNITS
/** Longer strings than 1 KB are few: a slab each. */
const MAX_UNITS = 64
/** Below this a loop beats the call into native code. */
const SHORT = 48

function unitsOf(length: number): number {
  return length === 0 ? 1 : Math.ceil(length / UNIT)
}
