import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packBytes, unpackBytes } from '../../../src/base/packed-bytes.ts'
import { keyOfPrintable, printableKey } from '../../../src/base/printable-key.ts'
import { Semaphore } from '../../../src/base/semaphore.ts'
import type { Config } from '../../../src/config/config.ts'
import { sameValue, writesOf } from '../../../src/jobs/files/values.ts'
import { EndKeys } from '../../../src/jobs/stores/end-keys.ts'
import { bulkStart, FrameWriter, integerAt } from '../../../src/jobs/stores/frames.ts'
import { encodeOwn } from '../../../src/resp/own-words.ts'
import { configOf } from '../../support/data-path.ts'

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))

test('a list of byte strings is the same after it was packed', () => {
  fc.assert(
    fc.property(fc.array(bytes), (list) => {
      expect(unpackBytes(packBytes(list))).toEqual(list)
    }),
  )
})

test('a key is found again from what is printed of it', () => {
  fc.assert(
    fc.property(bytes, (key) => {
      expect(keyOfPrintable(printableKey(key))).toEqual(key)
    }),
  )
})

test('frames of many keys are those of each command by itself, whatever the slices', () => {
  const writer = new FrameWriter()
  fc.assert(
    fc.property(fc.array(bytes, { minLength: 1 }), fc.integer({ min: 1, max: 2000 }), (names, sliceBytes) => {
      const slices: Buffer[] = []
      let commands = 0
      writer.write([['DUMP'], ['MEMORY', 'USAGE']], names, sliceBytes, (buf, length, count) => {
        slices.push(Buffer.from(buf.subarray(0, length)))
        commands += count
      })
      const expected = names.flatMap((name) => [encodeOwn(['DUMP', name]), encodeOwn(['MEMORY', 'USAGE', name])])
      expect(Buffer.concat(slices)).toEqual(Buffer.concat(expected))
      expect(commands).toBe(2 * names.length)
    }),
  )
})

test('a key larger than the memory that frames are written to', () => {
  const name = Buffer.alloc(1_000_000, 'k')
  let written = Buffer.alloc(0)
  new FrameWriter().write([['DUMP']], [name], 1000, (buf, length) => {
    written = Buffer.from(buf.subarray(0, length))
  })
  expect(written.equals(encodeOwn(['DUMP', name]))).toBe(true)
})

test('integers and bulks are found where they lie', () => {
  expect(integerAt(Buffer.from('..:-12\r\n'), 2)).toBe(-12)
  expect(integerAt(Buffer.from('$1\r\na\r\n'), 0)).toBeNull()
  expect(bulkStart(Buffer.from('$3\r\nabc\r\n'), 0)).toBe(4)
  expect(bulkStart(Buffer.from('$-1\r\n'), 0)).toBe(-1)
})

test('values of a set, a hash and a sorted set are the same in any order, those of a list are not', () => {
  const [a, b] = [Buffer.from('a'), Buffer.from('b')]
  const [one, two] = [Buffer.from('1'), Buffer.from('2.0')]
  expect(sameValue({ type: 'set', value: [a, b] }, { type: 'set', value: [b, a] })).toBe(true)
  expect(sameValue({ type: 'list', value: [a, b] }, { type: 'list', value: [b, a] })).toBe(false)
  const scores = { type: 'zset', value: [a, one, b, two] } as const
  expect(sameValue(scores, { type: 'zset', value: [b, Buffer.from('2'), a, one] })).toBe(true)
  expect(sameValue(scores, { type: 'hash', value: [a, one, b, two] })).toBe(false)
  expect(writesOf(a, { of: scores, expiresAtMs: 5 }, true)).toEqual([
    ['ZADD', a, one, a, two, b],
    ['PEXPIREAT', a, '5'],
  ])
})

test('only so many work at once, and the next begins when one has failed', async () => {
  const semaphore = new Semaphore(2)
  let [running, most] = [0, 0]
  const work = async (fails: boolean): Promise<void> => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setImmediate(resolve))
    running--
    if (fails) throw new Error('no')
  }
  const results = await Promise.allSettled([1, 2, 3, 4, 5].map((n) => semaphore.run(() => work(n % 2 === 0))))
  expect(results.map((result) => result.status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'rejected',
    'fulfilled',
  ])
  expect(most).toBe(2)
})

test('names of an end are the route’s, and only its own: renamed, neighbours’, another end’s copies', () => {
  const stores = { old: { port: 1 }, new: { port: 2 } }
  const config: Config = configOf({
    stores,
    routes: [
      {
        name: 'jobs',
        keys: ['job:{id}'],
        source: 'old',
        target: { store: 'old', keys: { 'job:{id}': 'step:{id}' } },
        phase: 'mirror',
      },
      { name: 'rest', keys: ['*'], source: 'old', target: 'new', phase: 'mirror' },
    ],
  })
  const names = (route: string, end: 'source' | 'target', list: string[]): (string | null)[] => {
    const keys = new EndKeys(config, route, end)
    return list.map((name) => keys.keyOf(Buffer.from(name))?.toString() ?? null)
  }
  const all = ['job:1', 'step:1', 'user:1']
  expect(names('jobs', 'source', all)).toEqual(['job:1', null, null])
  expect(names('jobs', 'target', all)).toEqual([null, 'job:1', null])
  expect(names('rest', 'source', all)).toEqual([null, null, 'user:1'])
  expect(new EndKeys(config, 'jobs', 'target').nameOf(Buffer.from('job:7')).toString()).toBe('step:7')
  expect(new EndKeys(config, 'rest', 'target').owns(Buffer.from('job:7'))).toBe(false)
})
