/** The range right behind an entry, for XRANGE and XPENDING: `(id` is younger (6.2) than the commands. Behind the greatest ID there can be it is an empty one. */
export function rangeBehind(id: string): readonly [start: string, end: string] {
  const [ms, seq] = id.split('-').map(BigInt) as [bigint, bigint]
  if (seq < GREATEST) return [`${ms}-${seq + 1n}`, '+']
  return ms < GREATEST ? [`${ms + 1n}-0`, '+'] : ['1', '0']
}

/** `5` stands for `5-0`. */
export function wholeId(id: string): string {
  return id.includes('-') ? id : `${id}-0`
}

/** In the order of the stream, for `sort`; both whole. */
export function compareIds(one: string, other: string): number {
  const [oneMs, oneSeq] = one.split('-').map(BigInt)
  const [otherMs, otherSeq] = other.split('-').map(BigInt)
  if (oneMs !== otherMs) return oneMs! < otherMs! ? -1 : 1
  return oneSeq! < otherSeq! ? -1 : oneSeq! > otherSeq! ? 1 : 0
}

const GREATEST = 2n ** 64n - 1n
