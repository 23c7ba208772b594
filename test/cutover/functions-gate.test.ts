import { expect, test } from 'vitest'
import { parseConfig } from '../../src/config/file/load.ts'
import { functionsInDoubt } from '../../src/cutover/functions-gate.ts'
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
  expect(await closedBy(['functions', 'functions-removed'], [], 'NOPERM')).toEqual([
    "'new' may still have functions that were deleted on the primary, and does not let them be listed and deleted (NOPERM): give its user there '+function'",
  ])
})

test('a switch waits for it where it may open by itself, and only there', () => {
  const passing = (verifyCauses: string[], refusedLibraries: string[] = [], refusedBecause: string | null = null) =>
    functionsInDoubt({ verifyCauses, refusedLibraries, refusedBecause }, 'new', 'all')?.passing
  expect(passing([])).toBeUndefined()
  expect(passing(['functions'])).toBe(true)
  expect(passing(['functions', 'turned'])).toBe(false)
  expect(passing(['functions'], ['carts'], 'ERR')).toBe(false)
  expect(passing(['functions'], [], 'NOPERM')).toBe(false)
})

test('functions that the application calls and the next primary lacks close it, by name', async () => {
  const of = (missingFunctions: string[]) =>
    gatesOf(configIn('shadow'), configIn('switched'), { all: { missingFunctions } })
  expect((await of([])).filter(({ open }) => !open)).toEqual([])
  expect((await of(['bump', 'drop'])).filter(({ open }) => !open).map(({ reason }) => reason)).toEqual([
    expect.stringMatching(/^'new' lacks functions .*\('bump', 'drop'\).*FUNCTION LOAD/),
  ])
})

test('for functions and keys it says both', async () => {
  expect(await closedBy(['overflow', 'functions'], ['carts'])).toEqual([
    "keys that nobody can name may differ (overflow): run 'understudy verify all'",
    expect.stringContaining("'carts'"),
  ])
})

test('after a change of the primary it asks for a verify, which lets them be compared', async () => {
  expect(await closedBy(['functions', 'turned'], [])).toEqual([
    expect.stringContaining("run 'understudy verify all'"),
    expect.stringContaining("are compared as soon as 'understudy verify all' has found no difference"),
  ])
})

test('a route that is switched by itself waits for the functions of the route `*`, where they lie between the same stores', async () => {
  const before = (jobs: string, other: string) =>
    parseConfig(
      `
stores: { old: { url: redis://127.0.0.1:1 }, new: { url: redis://127.0.0.1:2 }, third: { url: redis://127.0.0.1:3 } }
cutover: { minCompared: 0 }
routes:
  - { name: jobs, keys: ["job:*"], source: { store: old }, target: { store: ${other} }, phase: ${jobs} }
  - { name: rest, keys: ["*"], source: { store: old }, target: { store: new }, phase: mirror }
`,
      { path: 'understudy.yaml', env: {} },
    ).config
  const rest = { needsVerify: true, verifyCauses: ['functions'], refusedLibraries: ['carts'] }
  const closed = async (other: string): Promise<string[]> =>
    (await gatesOf(before('mirror', other), before('switched', other), { jobs: {}, rest }))
      .filter(({ open }) => !open)
      .map(({ reason }) => reason)
  expect(await closed('new')).toEqual([expect.stringContaining("'carts'")])
  expect(await closed('third')).toEqual([])
})
