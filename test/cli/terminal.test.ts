import { expect, test } from 'vitest'
import { Terminal } from '../../src/cli/terminal.ts'

function written(isTTY: boolean, ...screens: string[][]): string {
  let text = ''
  const stream = { isTTY, write: (chunk: string) => (text += chunk) } as unknown as NodeJS.WriteStream
  const terminal = new Terminal(stream, stream)
  for (const lines of screens) terminal.screen(lines)
  return text
}

test('a screen takes the place of the one before it: nothing of longer lines, or of more of them, is left', () => {
  expect(written(true, ['long line', 'second'], ['short'])).toBe(
    '\x1b[Hlong line\x1b[K\nsecond\x1b[K\n\x1b[J\x1b[Hshort\x1b[K\n\x1b[J',
  )
})

test('where there is no terminal, screens stand below each other', () => {
  expect(written(false, ['one', 'two'], ['three'])).toBe('one\ntwo\n\nthree\n\n')
})
