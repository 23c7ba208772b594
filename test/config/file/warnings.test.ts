import { expect, test } from 'vitest'
import { parseConfig } from '../../../src/config/file/load.ts'

const warningsOf = (keys: Record<string, string>): string[] => {
  const patterns = JSON.stringify(Object.keys(keys))
  const text = `
stores: { old: "redis://a", new: "redis://b" }
routes:
  - { name: x, keys: ${patterns}, source: old, target: { store: new, keys: ${JSON.stringify(keys)} } }
${'*' in keys ? '' : '  - { name: rest, keys: ["*"], source: old }'}
`
  return parseConfig(text, { path: 'test.yaml', env: {} }).warnings.map(({ message }) => message)
}

test.each([
  ['{{{user}}}:cart', 'cart:{user}', /^breaks the hash tag \{\{user\}\}/],
  ['cart:{user}', '{{carts}}:{user}', /^introduces the hash tag \{carts\}/],
  ['{{{user}}}:{{a}}:cart', '{{a}}:{{{user}}}:cart', /^changes the hash tag from \{\{user\}\} to \{a\}/],
  ['{{fixed}}:{id}', '{{other}}:{id}', /^changes the hash tag from \{fixed\} to \{other\}/],
])('%s -> %s: %s', (from, to, expected) => {
  expect(warningsOf({ [from]: to })).toEqual([expect.stringMatching(expected)])
})

test.each([
  ['{{{user}}}:cart', '{{{user}}}:basket'],
  ['job:{id}', 'step:{id}'],
  ['a:{id}:{{x', 'b:{id}:{{x'],
  ['a:{{}}{id}', 'b:{id}'],
])('%s -> %s: hash tags stay as they are', (from, to) => {
  expect(warningsOf({ [from]: to })).toEqual([])
})

test('a part of a server: what FLUSHALL does there is said', () => {
  expect(warningsOf({ '*': 'app1:*' })).toEqual([
    expect.stringMatching(
      /a part of store "new": FLUSHALL and FLUSHDB, which would hit what else is there, delete its own keys/,
    ),
  ])
})

test.each([
  [
    ['/2', '/5'],
    /^keys in database 2 and database 5 of a client are not served.*'old' 2, 'new' 5.*take the numbers out of the URLs$/,
  ],
  [['', '/5'], /^keys in database 5 of a client/],
  [['/3', '/3'], null],
])('databases %j in the URLs', ([old, fresh], expected) => {
  const text = `
stores: { old: "redis://a${old}", new: "redis://b${fresh}" }
routes: [{ name: rest, keys: ["*"], source: old, target: new }]
`
  const { warnings } = parseConfig(text, { path: 'test.yaml', env: {} })
  expect(warnings.map(({ path, message }) => [path, message])).toEqual(
    expected === null ? [] : [['routes[0].target', expect.stringMatching(expected)]],
  )
})
