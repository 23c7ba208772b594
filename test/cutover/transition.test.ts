import { describe, expect, test } from 'vitest'
import { type Config, PHASES, type Phase } from '../../src/config/config.ts'
import { parseConfig } from '../../src/config/file/load.ts'
import { consequencesOf, type Transition, transitions } from '../../src/cutover/transition.ts'

const config = (phase: Phase, more = ''): Config =>
  parseConfig(
    `
listen: [{ url: "redis://127.0.0.1:6380" }]
stores: { old: { url: "redis://127.0.0.1:7001" }, new: { url: "redis://127.0.0.1:7002" } }
routes: [{ name: all, keys: ["*"], source: { store: old }, target: { store: new }, phase: ${phase} ${more} }]
`,
    { path: 'test.yaml', env: {} },
  ).config

const step = (from: Phase, to: Phase): Transition => transitions(config(from), config(to))[0]!

const ON_TARGET: readonly Phase[] = ['switched', 'done']
const MIRRORS: readonly Phase[] = ['mirror', 'shadow', 'read-target', 'switched']

describe('a change of phase', () => {
  const pairs = PHASES.flatMap((from) => PHASES.map((to) => [from, to] as const))

  test.each(pairs)('%s -> %s holds commands exactly when something changes', (from, to) => {
    expect(step(from, to).holds).toBe(from !== to)
  })

  test.each(pairs)('%s -> %s moves the authority exactly when the other store becomes primary', (from, to) => {
    expect(step(from, to).movesPrimary).toBe(ON_TARGET.includes(from) !== ON_TARGET.includes(to))
  })

  test.each(pairs)('%s -> %s is unsafe exactly when the new primary has not been kept up', (from, to) => {
    const { movesPrimary, unsafe } = step(from, to)
    expect(unsafe !== null).toBe(movesPrimary && !MIRRORS.includes(from))
  })

  test.each(pairs)('%s -> %s forgets the shadow exactly when nothing is mirrored there any more', (from, to) => {
    const gaveUp = MIRRORS.includes(from) && !MIRRORS.includes(to)
    expect(step(from, to).forgetsShadow).toBe(gaveUp)
  })

  test.each(pairs)('%s -> %s calls blocked commands back exactly when primary or shadow is another', (from, to) => {
    const ends = (phase: Phase) => [ON_TARGET.includes(phase), MIRRORS.includes(phase)]
    expect(step(from, to).recalls).toBe(ends(from).join() !== ends(to).join())
  })

  test('what only the comparer or the mirror cares about holds nobody', () => {
    const [changed] = transitions(config('shadow'), config('shadow', ', compare: { sample: 5% }'))
    expect(changed).toMatchObject({ holds: false, movesPrimary: false, forgetsShadow: false, unsafe: null })
  })

  test('another address of a store holds the commands of its routes', () => {
    const moved = config('shadow')
    const stores = { ...moved.stores, old: { ...moved.stores['old']!, url: 'redis://127.0.0.1:7003' } }
    expect(transitions(config('shadow'), { ...moved, stores })[0]).toMatchObject({ holds: true, recalls: true })
  })

  test('another name of a store holds the commands of routes, also when these have other names', () => {
    const before = config('mirror')
    const { old, ...others } = before.stores
    const [route] = before.routes
    const named = (source: string, name: string): Config => ({
      ...before,
      stores: { ...others, [source]: { ...old!, name: source } },
      routes: [{ ...route!, name, source: { ...route!.source, store: source } }],
    })
    expect(transitions(before, named('legacy', 'every'))).toMatchObject([
      { before: 'all', route: 'every', holds: true, movesPrimary: false, forgetsShadow: false, unsafe: null },
    ])
    expect(transitions(before, named('old', 'every'))[0]!.holds).toBe(false)
  })

  test.each(PHASES)('what %s means names both stores where both take part', (phase) => {
    const text = consequencesOf(config(phase).routes[0]!, phase).join(' ')
    expect(text).toContain(ON_TARGET.includes(phase) ? "'new' (target)" : "'old' (source)")
    if (MIRRORS.includes(phase))
      expect(text).toMatch(/'old' \(source\).*'new' \(target\)|'new' \(target\).*'old' \(source\)/)
  })

  test('in shadow it is said where no read is compared, for none is sampled', () => {
    const meaning = (compare: string) => consequencesOf(config('shadow', compare).routes[0]!, 'shadow').join()
    const none = /No read is sampled, so none is compared: set compare.sample/
    expect(meaning('')).toMatch(none)
    expect(meaning(', compare: { sample: 1% }')).not.toMatch(none)
    expect(meaning(', compare: { always: ["a:{id}"] }')).not.toMatch(none)
  })

  test('from done the way to the source is by switched, not by mirror, which would be refused as well', () => {
    for (const to of ['mirror', 'shadow', 'read-target', 'passthrough'] as const)
      expect(step('done', to).unsafe).toMatch(/bring it to switched, then run a backfill \(and a verify\) first$/)
    expect(step('passthrough', 'switched').unsafe).toMatch(/go through mirror and a backfill first$/)
  })

  const wayBack = (from: Phase, to: Phase): string[] => {
    const route = config(from).routes[0]!
    return consequencesOf(route, to).filter((sentence) => /Way back|lacks/.test(sentence))
  }

  test.each(pairs)(
    '%s -> %s: a line that is edited back is a way back only where the source is kept up',
    (from, to) => {
      const text = wayBack(from, to).join(' ')
      const isTrue =
        from !== to && from !== 'done' && MIRRORS.includes(to) && !(from === 'passthrough' && to === 'switched')
      expect(text.includes('edit the line back')).toBe(isTrue)
      expect(text.includes('nothing is lost')).toBe(isTrue && to === 'switched')
    },
  )

  test.each(pairs)('%s -> %s says which store lacks data exactly when one does', (from, to) => {
    const text = wayBack(from, to).join(' ')
    expect(/'old' \(source\) lacks/.test(text)).toBe(from === 'done' && to !== 'done')
    expect(/'new' \(target\) lacks/.test(text)).toBe(from === 'passthrough' && ON_TARGET.includes(to))
  })

  test('from done to switched the way back asks for a backfill', () => {
    expect(wayBack('done', 'switched')).toEqual([
      "'old' (source) lacks what was written in done.",
      "Way back to it: needs a backfill from 'new' (target) to 'old' (source), and a verify where it still holds keys.",
    ])
  })

  test('of a phase that has come into force it is said where the route comes from', () => {
    expect(consequencesOf(config('switched').routes[0]!, 'switched', 'done')).toEqual(
      consequencesOf(config('done').routes[0]!, 'switched'),
    )
  })
})
