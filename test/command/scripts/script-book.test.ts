import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { ScriptBook } from '../../../src/command/scripts/script-book.ts'
import { CommandTable } from '../../../src/command/table.ts'

function learn(book: ScriptBook, source: string) {
  const bytes = Buffer.from(`before ${source} behind`)
  return book.learn(bytes, 7, bytes.length - 7)
}

const shaOf = (source: string): string => createHash('sha1').update(source).digest('hex')

test('a source that comes again is the same script, found by its SHA-1 in whatever case', () => {
  const book = new ScriptBook()
  const script = learn(book, "return redis.call('GET', KEYS[1])")
  expect(script.sha).toBe(shaOf("return redis.call('GET', KEYS[1])"))
  expect(learn(book, "return redis.call('GET', KEYS[1])")).toBe(script)
  expect(book.bySha(script.sha.toUpperCase())).toBe(script)
  expect(script.factsBy(CommandTable.builtin())).toMatchObject({ declaresKeys: true, writes: false })
})

test('what is kept of a source is the source, and not what was copied beside it', () => {
  const { source } = learn(new ScriptBook(), 'return 1')
  expect([source.toString(), source.buffer.byteLength]).toEqual(['return 1', 8])
})

test('where one has changed how cjson writes, of no other that uses it is it known any more what it writes', () => {
  const book = new ScriptBook()
  const source = (value: string): string => `return redis.call('set', KEYS[1], ${value})`
  const varies = (value: string) => learn(book, source(value)).factsBy(CommandTable.builtin()).varies
  expect([varies('cjson.encode({1.5})'), varies('ARGV[1]')]).toEqual([null, null])
  learn(book, 'cjson.encode_number_precision(3)')
  for (const value of ['cjson.encode({1.5})', 'cjson.encode({2.5})'])
    expect(varies(value)).toBe('a script has changed how cjson writes and reads')
  expect(varies('ARGV[1]')).toBeNull()
})

test('scripts that are alike in all but one byte, wherever it is, are told apart', () => {
  const book = new ScriptBook()
  const source = `return '${'x'.repeat(3_000)}'`
  const others = Array.from({ length: 3_000 }, (_, i) => `${source.slice(0, 8 + i)}y${source.slice(9 + i)}`)
  const all = [source, ...others.filter((_, i) => i % 2 === 0)]
  for (const _ of [1, 2]) expect(all.map((one) => learn(book, one).sha)).toEqual(all.map(shaOf))
})

test('what is not used goes when there are too many, what is used stays', () => {
  const book = new ScriptBook()
  const used = learn(book, 'return "used"')
  const unused = learn(book, 'return "unused"')
  for (let i = 0; i < 10_000; i++) {
    learn(book, `return ${i}`)
    book.bySha(used.sha)
  }
  expect(book.bySha(used.sha)).toBe(used)
  expect(book.bySha(unused.sha)).toBeUndefined()
  expect(book.bySha(shaOf('return 9999'))).toBeDefined()
})

test('and when they are too large; one that is beyond all measure is not kept', () => {
  const book = new ScriptBook()
  const first = learn(book, 'return 1')
  for (let i = 0; i < 40; i++) learn(book, `return '${String(i).padStart(900_000, '0')}'`)
  expect(book.bySha(first.sha)).toBeUndefined()
  const huge = `return '${'x'.repeat(2_000_000)}'`
  expect(learn(book, huge).sha).toBe(shaOf(huge))
  expect(book.bySha(shaOf(huge))).toBeUndefined()
  // What is known of it is asked for several times.
  expect(learn(book, huge)).toBe(learn(book, huge))
})

test('a flush is over when the source comes again', () => {
  const book = new ScriptBook()
  const script = learn(book, 'return 1')
  book.unload()
  expect([book.bySha(script.sha), script.isLoaded]).toEqual([script, false])
  expect(learn(book, 'return 1').isLoaded).toBe(true)
})
