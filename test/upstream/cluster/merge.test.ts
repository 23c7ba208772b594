import { expect, test } from 'vitest'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { commonOf, everyOf } from '../../../src/upstream/cluster/merge.ts'

/** As FUNCTION LIST WITHCODE gives it. */
function libraryOf(name: string, code: string, functions: readonly string[]): Buffer {
  const one = (of: string) =>
    Buffer.concat([
      Buffer.from('*6\r\n$4\r\nname\r\n'),
      bulk(of),
      Buffer.from('$11\r\ndescription\r\n$-1\r\n$5\r\nflags\r\n*0\r\n'),
    ])
  return Buffer.concat([
    Buffer.from('*8\r\n$12\r\nlibrary_name\r\n'),
    bulk(name),
    Buffer.from(`$6\r\nengine\r\n$3\r\nLUA\r\n$9\r\nfunctions\r\n*${functions.length}\r\n`),
    ...functions.map(one),
    Buffer.from('$12\r\nlibrary_code\r\n'),
    bulk(code),
  ])
}

function bulk(text: string): Buffer {
  return Buffer.from(`$${text.length}\r\n${text}\r\n`)
}

const list = (...libraries: Buffer[]) => Buffer.concat([Buffer.from(`*${libraries.length}\r\n`), ...libraries])

test('a cluster has the libraries of functions that each of its nodes has, in whatever order it lists them', () => {
  const everywhere = libraryOf('a', 'x', ['f', 'g'])
  const otherwise = libraryOf('a', 'x', ['g', 'f'])
  const [old, fresh] = [libraryOf('b', 'one', ['h']), libraryOf('b', 'two', ['h'])]
  const here = libraryOf('c', 'z', ['i'])
  expect(commonOf([list(everywhere, old, here), list(fresh, otherwise), list(everywhere)])).toEqual(list(everywhere))
  expect(commonOf([list(here, old), list(old, here)])).toEqual(list(here, old))
  expect(commonOf([list(here), list()])).toEqual(encodeCommand([]))
})

test('a cluster has a script where each of its nodes has it', () => {
  const frame = (...there: number[]) => Buffer.from(`*${there.length}\r\n${there.map((one) => `:${one}\r\n`).join('')}`)
  expect(everyOf([frame(1, 1, 0), frame(1, 0, 0), frame(1, 1, 1)])).toEqual(frame(1, 0, 0))
  expect(everyOf([frame(1, 0)])).toEqual(frame(1, 0))
})
