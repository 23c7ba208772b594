import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Config, EndConfig } from '../../../src/config/config.ts'
import { parseConfig } from '../../../src/config/file/load.ts'
import { comparePatterns, KeyPattern } from '../../../src/config/patterns/pattern.ts'
import { KeyRename } from '../../../src/config/patterns/rename.ts'
import { allKeysUpTo, arbitraryPattern, arbitraryRearrangement } from '../patterns/arbitrary-pattern.ts'
import { configOfRules, type Rules } from '../patterns/renaming-rules.ts'

const arbitraryRule = arbitraryPattern
  .filter((pattern) => !pattern.isCatchAll)
  .chain((from) =>
    fc.tuple(
      fc.constant(from.text),
      fc.option(
        arbitraryRearrangement(from).map(({ text }) => text),
        { nil: null },
      ),
    ),
  )

/** null: the configuration is refused. */
function tryLoad(rules: Rules, target: string): Config | null {
  const config = configOfRules(rules, target)
  return 'routes' in config ? config : null
}

/** Every name that some short key gets in some store, with the keys and ends that it stands for. */
function occupants(config: Config): Map<string, Set<string>> {
  const rules = config.routes
    .flatMap(({ keys, source, target }) =>
      keys.map((text) => {
        const pattern = KeyPattern.parse(text)
        return {
          pattern,
          ends: [placement(pattern, source, 'source'), ...(target ? [placement(pattern, target, 'target')] : [])],
        }
      }),
    )
    .toSorted((a, b) => comparePatterns(a.pattern, b.pattern))
  const found = new Map<string, Set<string>>()
  for (const key of allKeysUpTo(6)) {
    const buf = Buffer.from(key)
    const { ends } = rules.find((rule) => rule.pattern.matches(buf, 0, buf.length))!
    for (const { store, side, rename } of ends) {
      const at = `${store} ${rename === null ? key : rename.apply(buf, 0, buf.length)}`
      found.set(at, (found.get(at) ?? new Set()).add(`${key} ${side}`))
    }
  }
  return found
}

function placement(pattern: KeyPattern, end: EndConfig, side: string) {
  const to = end.keys[pattern.text]
  return { store: end.store, side, rename: to === undefined ? null : KeyRename.between(pattern, KeyPattern.parse(to)) }
}

describe('an accepted configuration', () => {
  it.each(['old', 'new'])(
    'never gives two keys one name, nor one key one name at both ends (target in "%s")',
    (target) => {
      let accepted = 0
      fc.assert(
        fc.property(fc.array(arbitraryRule, { minLength: 1, maxLength: 3 }), (rules) => {
          const config = tryLoad(rules, target)
          fc.pre(config !== null)
          accepted++
          for (const [name, keys] of occupants(config)) expect([...keys], name).toHaveLength(1)
        }),
        { numRuns: 60, maxSkipsPerRun: 1000 },
      )
      expect(accepted).toBeGreaterThan(50)
    },
  )
})

describe('a key and a part of it that is renamed in another way', () => {
  const rules = [
    ['cart:{user}', 'basket:{user}'],
    ['cart:{user}:items', 'basket:{user}:lines'],
  ] as const
  const load = (...more: object[]): Config => {
    const keys = Object.fromEntries(rules)
    const file = {
      stores: { redis: 'redis://a' },
      routes: [
        { name: 'shop', keys: Object.keys(keys), source: 'redis', target: { store: 'redis', keys } },
        { name: 'rest', keys: ['*'], source: 'redis' },
        ...more,
      ],
    }
    return parseConfig(JSON.stringify(file), { path: 'test', env: {} }).config
  }

  it('is refused where keys of the application could meet, and both are named', () => {
    expect(() => load()).toThrow(/would be two keys of the application, "cart:x:items" and "cart:x:lines"/)
    const elsewhere = { name: 'other', keys: ['cart:{user}:l'], source: 'redis' }
    expect(() => load(elsewhere)).toThrow(/"cart:x:items" and "cart:x:lines"/)
  })

  it('is accepted where another route says that there are no such keys, or has them', () => {
    expect(load({ name: 'none', keys: ['cart:{user}:lines'], source: 'redis' }).routes).toHaveLength(3)
    expect(load({ name: 'none', keys: ['cart:{user}:l{more}'], source: 'redis' }).routes).toHaveLength(3)
  })
})
