/** The ID right behind an entry's: `XRANGE (id` and `XPENDING (id` are younger (6.2) than the commands. */
export function idBehind(id: string): string {
  const [ms, seq] = id.split('-').map(BigInt) as [bigint, bigint]
  return seq === GREATEST ? `${ms + 1n}-0` : `${ms}-${seq + 1n}`
}

const GREATEST = 2n ** 64n - 1n
