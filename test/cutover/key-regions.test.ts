import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { comparePatterns, KeyPattern } from '../../src/config/patterns/pattern.ts'
import { overlap, segmentsOf } from '../../src/config/patterns/pattern-overlap.ts'
import { keyRegions } from '../../src/cutover/key-regions.ts'
import { transitions } from '../../src/cutover/transition.ts'
import { allKeysUpTo, arbitraryPatternText } from '../config/patterns/arbitrary-pattern.ts'
import { commonKeyOutside } from '../config/patterns/common-key-outside.ts'
import { configOf, type RouteOptions } from '../support/data-path.ts'

const NONE = new Map<string, string>()
const stores = { old: { port: 1 }, new: { port: 2 }, third: { port: 3 } }
const config = (...routes: RouteOptions[]) => configOf({ stores, routes })
const ends = { source: 'old', target: 'new' } as const

/** Sets of patterns that a configuration may have: no two that match the same key are equally specific. */
const tables = fc
  .uniqueArray(arbitraryPatternText, { maxLength: 5 })
  .map((texts) => [...new Set([...texts, '*'])])
  .filter((texts) => {
    const patterns = texts.map((text) => KeyPattern.parse(text))
    return patterns.every((one, i) =>
      patterns.slice(i + 1).every((other) => comparePatterns(one, other) !== 0 || !overlap(one, other)),
    )
  })

const winnerOf = (texts: readonly string[]) => {
  const sorted = texts.map((text) => KeyPattern.parse(text)).sort(comparePatterns)
  return (key: Buffer) => sorted.find((pattern) => pattern.matches(key, 0, key.length))!.text
}

const keys = allKeysUpTo(6).map((text) => Buffer.from(text))

test('a key of two patterns and of no other is found exactly when there is one', () => {
  const pattern = arbitraryPatternText.map((text) => KeyPattern.parse(text))
  fc.assert(
    fc.property(pattern, pattern, fc.array(pattern, { maxLength: 4 }), (one, other, except) => {
      const fits = (key: Buffer) =>
        [one, other].every((wanted) => wanted.matches(key, 0, key.length)) &&
        !except.some((unwanted) => unwanted.matches(key, 0, key.length))
      const found = commonKeyOutside(segmentsOf(one), segmentsOf(other), except.map(segmentsOf))
      if (found === null) expect(keys.find(fits)).toBeUndefined()
      else expect(fits(found)).toBe(true)
    }),
    { numRuns: 300 },
  )
})

test('many patterns that have keys in common, and make place for as many, are divided exactly', () => {
  const tables = ['a', 'b'].map((letter) =>
    Array.from({ length: 16 }, (_, i) => `{tenant}:${letter}${String.fromCharCode(0x61 + i)}${'o'.repeat(i)}:{id}`),
  )
  const [before, after] = tables.map((keys) =>
    config({ name: 'some', keys, source: 'old' }, { name: 'rest', keys: ['*'], source: 'old' }),
  ) as [never, never]
  // Every key of two patterns may be one of them before and the other after, and each one of none.
  expect(keyRegions(before, after, NONE)).toHaveLength(17 * 17)
})

test('every key has a region that says which route it had and which it has', () => {
  fc.assert(
    fc.property(tables, tables, (before, after) => {
      const asRoutes = (texts: readonly string[], side: string): RouteOptions[] =>
        texts.map((text) => ({ name: `${side} ${text}`, keys: [text], source: 'old' }))
      const regions = keyRegions(config(...asRoutes(before, 'b')), config(...asRoutes(after, 'a')), NONE)
      const found = new Set(regions.map((region) => `${region.before.name} ${region.after.name}`))
      const [winsBefore, winsAfter] = [winnerOf(before), winnerOf(after)]
      for (const key of keys) expect(found).toContain(`b ${winsBefore(key)} a ${winsAfter(key)}`)
    }),
    { numRuns: 60 },
  )
})

test('patterns that leave each other no key make no region', () => {
  const before = config({ name: 'jobs', keys: ['job:{id}', 'job:'], source: 'old' }, { name: 'rest', source: 'old' })
  const after = config({ name: 'all-jobs', keys: ['job:*'], source: 'old' }, { name: 'rest', source: 'old' })
  const pairs = keyRegions(before, after, NONE).map((region) => [region.before.name, region.after.name, region.pattern])
  expect(pairs).toEqual([
    ['jobs', 'all-jobs', 'job:{id}'],
    ['jobs', 'all-jobs', 'job:'],
    ['rest', 'rest', '*'],
  ])
})

const rest = (phase: RouteOptions['phase'] = 'shadow'): RouteOptions => ({ name: 'rest', ...ends, phase: phase! })
const jobs = (more: Partial<RouteOptions> = {}): RouteOptions => ({
  name: 'jobs',
  keys: ['job:{id}'],
  ...ends,
  ...more,
})

describe('what a change of routes does to keys', () => {
  test('another name, other settings, a route of its own for keys that stay where they are: nobody is held', () => {
    const same = jobs({ phase: 'shadow', compare: { sample: 1 } })
    for (const next of [config(same, rest()), config({ ...rest(), name: 'everything' })]) {
      const [first] = transitions(config(rest()), next)
      expect(first).toMatchObject({ before: 'rest', holds: false, movesPrimary: false, unsafe: null })
    }
  })

  test('a route of its own that begins to mirror holds the route that had the keys, and asks for no gate', () => {
    const step = transitions(config(rest('passthrough')), config(jobs({ phase: 'mirror' }), rest('passthrough')))[0]
    expect(step).toMatchObject({ route: 'jobs', before: 'rest', keys: ['job:{id}'], holds: true, movesPrimary: false })
    expect(step!.unsafe).toBeNull()
  })

  test('to the store that was the shadow is a switch; to any other it is unsafe', () => {
    const [toShadow] = transitions(config(rest()), config(jobs({ phase: 'switched' }), rest()))
    expect(toShadow).toMatchObject({ before: 'rest', holds: true, movesPrimary: true, unsafe: null })
    const third = jobs({ source: 'third', phase: 'passthrough' })
    expect(transitions(config(rest()), config(third, rest()))[0]!.unsafe).toMatch(/from store 'old' to 'third'/)
    const renamed = jobs({ phase: 'switched', target: { store: 'new', keys: { 'job:{id}': 'step:{id}' } } })
    expect(transitions(config(rest()), config(renamed, rest()))[0]!.unsafe).toMatch(/have not been mirrored/)
  })

  test('reads that would be answered by a store to which nothing was mirrored are unsafe', () => {
    const step = transitions(
      config(rest('passthrough')),
      config(jobs({ phase: 'read-target' }), rest('passthrough')),
    )[0]
    expect(step!.unsafe).toMatch(/reads of keys "job:\{id\}"/)
    expect(transitions(config(rest()), config(jobs({ phase: 'read-target' }), rest()))[0]).toMatchObject({
      movesReads: true,
      unsafe: null,
    })
  })

  test('more renamed patterns move the keys of these, not those of the patterns that stay', () => {
    const switched = (keys: Record<string, string>): RouteOptions =>
      jobs({ keys: Object.keys(keys), phase: 'switched', target: { store: 'new', keys } })
    const before = config(switched({ 'job:{id}': 'step:{id}' }), rest())
    const after = config(switched({ 'job:{id}': 'step:{id}', 'jobs:{id}': 'steps:{id}' }), rest())
    const [own, gained] = transitions(before, after)
    expect(own).toMatchObject({ before: 'jobs', holds: false, movesPrimary: false, forgetsShadow: false })
    expect(gained).toMatchObject({ before: 'rest', keys: ['jobs:{id}'], movesPrimary: true })
  })

  test('another server under the name of a store is another place; one that is known to be the same is not', () => {
    const moved = configOf({ stores: { ...stores, old: { port: 9 } }, routes: [rest()] })
    const [step] = transitions(config(rest()), moved)
    expect(step).toMatchObject({ holds: true, movesPrimary: true })
    expect(step!.unsafe).toMatch(/store 'old', would be another server/)
    const same = new Map([['tcp:loopback:9  0', 'tcp:loopback:1  0']])
    expect(transitions(config(rest()), moved, same)[0]).toMatchObject({ movesPrimary: false, unsafe: null })
    const shadow = configOf({ stores: { ...stores, new: { port: 9 } }, routes: [rest()] })
    expect(transitions(config(rest()), shadow)[0]).toMatchObject({
      holds: true,
      movesPrimary: false,
      forgetsShadow: true,
    })
  })

  test('two stores that change their addresses with each other are a switch', () => {
    const swapped = configOf({ stores: { ...stores, old: { port: 2 }, new: { port: 1 } }, routes: [rest()] })
    expect(transitions(config(rest()), swapped)[0]).toMatchObject({ movesPrimary: true, unsafe: null })
  })
})
