import { commonKey, type Segment } from './key-language.ts'
import type { KeyPattern } from './pattern.ts'

/** Whether one key can match both patterns. Exact. */
export function overlap(a: KeyPattern, b: KeyPattern): boolean {
  return commonKey(segmentsOf(a), segmentsOf(b)) !== null
}

/** The language of a pattern. Made once: a large configuration asks for it with every other pattern. */
export function segmentsOf(pattern: KeyPattern): readonly Segment[] {
  let segments = known.get(pattern)
  if (segments === undefined) known.set(pattern, (segments = readSegments(pattern)))
  return segments
}

const known = new WeakMap<KeyPattern, readonly Segment[]>()

function readSegments(pattern: KeyPattern): Segment[] {
  const segments: Segment[] = [{ kind: 'literal', bytes: pattern.literalPrefix }]
  for (const { name, until } of pattern.wildcards) {
    segments.push(name === null ? { kind: 'rest' } : { kind: 'capture', until })
    if (until !== null) segments.push({ kind: 'literal', bytes: until })
  }
  segments.push({ kind: 'literal', bytes: pattern.literalSuffix })
  return segments
}
