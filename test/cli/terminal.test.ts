import { describe, expect, test } from 'vitest'
import { Terminal } from '../../src/cli/terminal.ts'

function written(stdout: object, ...screens: string[][]): string {
  let text = ''
  const stream = { ...stdout, write: (chunk: string) => (text += chunk) } as unknown as NodeJS.WriteStream
  const terminal = new Terminal(stream, stream)
  for (const lines of screens) terminal.screen(lines)
  return text
}

test('a screen takes the place of the one before it: nothing of longer lines, or of more of them, is left', () => {
  expect(written({ isTTY: true }, ['long line', 'second'], ['short'])).toBe(
    '\x1b[Hlong line\x1b[K\nsecond\x1b[K\n\x1b[J\x1b[Hshort\x1b[K\n\x1b[J',
  )
})

test('where there is no terminal, screens stand below each other', () => {
  expect(written({ isTTY: false }, ['one', 'two'], ['three'])).toBe('one\ntwo\n\nthree\n\n')
})

describe('a terminal that is too small', () => {
  const shown = (rows: number, columns: number, lines: string[]) =>
    written({ isTTY: true, rows, columns }, lines)
      .replace('\x1b[H', '')
      .replace('\x1b[J', '')
      .split('\x1b[K\n')
      .slice(0, -1)

  test('shows the first lines and how many more there are, and never scrolls', () => {
    expect(shown(4, 20, ['a', 'b', 'c'])).toEqual(['a', 'b', 'c'])
    expect(shown(4, 20, ['a', 'b', 'c', 'd'])).toEqual(['a', 'b', '… 2 more'])
    expect(shown(1, 20, ['a', 'b'])).toEqual(['… 2 more'])
    expect(shown(0, 0, ['a', 'b'])).toEqual(['a', 'b'])
  })

  test('counts the rows that a long line takes, not its colours, and every line of one text', () => {
    expect(shown(5, 10, ['x'.repeat(21), 'b', 'c'])).toEqual(['x'.repeat(21), '… 2 more'])
    expect(shown(4, 10, ['x'.repeat(20), 'b', 'c'])).toEqual(['x'.repeat(20), '… 2 more'])
    expect(shown(5, 10, ['x'.repeat(20), 'b', 'c'])).toHaveLength(3)
    expect(shown(4, 10, [`\x1b[31m${'x'.repeat(10)}\x1b[39m`, 'b', 'c'])).toHaveLength(3)
    expect(shown(5, 10, ['a\nb', 'c', 'd', 'e'])).toEqual(['a', 'b', 'c', '… 2 more'])
  })
})
