import { expect, test } from 'vitest'
import { configIn, gatesOf } from '../support/gates.ts'

async function closedBy(
  verifyCauses: readonly string[],
  refusedLibraries: readonly string[],
  refusedBecause: string | null = null,
): Promise<string[]> {
  const all = { needsVerify: verifyCauses.length > 0, verifyCauses, refusedLibraries, refusedBecause }
  const seen = await gatesOf(configIn('shadow'), configIn('switched'), { all })
  return seen.filter(({ open }) => !open).map(({ reason }) => reason)
}

test('a gate that is closed for functions names the library, the target and the cure, and no verify, which looks at keys', async () => {
  expect(await closedBy([], [])).toEqual([])
  expect(await closedBy(['functions', 'functions-removed'], ['carts'])).toEqual([
    "'new' refuses the primary's library of functions 'carts' (FUNCTION LOAD): load one there that it takes, under the same name and with the same functions, or delete it on the primary",
  ])
  expect(await closedBy(['functions'], ['a', 'b'])).toEqual([
    expect.stringContaining("libraries of functions 'a', 'b'"),
  ])
  expect(await closedBy(['functions'], ['carts'], 'NOPERM')).toEqual([
    "'new' refuses the primary's library of functions 'carts' (NOPERM): its user there may not use FUNCTION LIST, LOAD and DELETE: give it '+function'",
  ])
  expect(await closedBy(['functions'], [])).toEqual([expect.stringContaining('are being compared')])
})

test('for functions and keys it says both', async () => {
  expect(await closedBy(['overflow', 'functions'], ['carts'])).toEqual([
    "keys that nobody can name may differ (overflow): run 'understudy verify all'",
    expect.stringContaining("'carts'"),
  ])
})
