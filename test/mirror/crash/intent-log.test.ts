import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hashBytes } from '../../../src/base/hash.ts'
import { IntentLog } from '../../../src/mirror/crash/intent-log.ts'
import { SegmentReader } from '../../../src/mirror/crash/intent-segment.ts'
import type { Removed } from '../../../src/mirror/functions/function-changes.ts'

let dir = ''
let events: string[] = []
let log: IntentLog
let noteInEvery: string[] = []

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'intents-'))
  events = []
  noteInEvery = []
  log = new IntentLog(dir, 1, {
    failed: (error) => events.push(`failed ${(error as NodeJS.ErrnoException).code ?? error.message}`),
    recovered: () => events.push('recovered'),
    segmentBegan: () => {
      events.push('began')
      for (const key of noteInEvery) note(key)
    },
  })
})
afterEach(() => {
  log.end()
  rmSync(dir, { recursive: true, force: true })
})

function note(key: string | Buffer, database = 0): void {
  const bytes = Buffer.from(key as string)
  log.noteKey(database, bytes, 0, bytes.length)
}

function files(): string[] {
  return readdirSync(dir).sort()
}

function keysIn(bytes: Buffer): { keys: string[]; end: string } {
  const keys: string[] = []
  const reader = new SegmentReader(bytes)
  const visitor = {
    key: (database: number, key: Buffer) => keys.push(`${database} ${key.toString('latin1')}`),
    everyKey: () => keys.push('every key'),
    functions: (removed: Removed) => keys.push(`functions ${JSON.stringify(removed)}`),
    unnamedKeys: () => keys.push('unnamed'),
  }
  while (reader.read(visitor, 3));
  return { keys, end: reader.end }
}

function keysOnDisk(): string[] {
  return files().flatMap((name) => keysIn(readFileSync(join(dir, name))).keys)
}

/** As if so much time had passed. */
function after(ms: number): void {
  log.tick(performance.now() + ms)
}

describe('what is noted', () => {
  test('stands on disk after one flush, whatever bytes the key has and however long it is', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.tuple(fc.nat(300), fc.uint8Array({ maxLength: 200 })), { maxLength: 20 }), {
          maxLength: 10,
        }),
        (turns) => {
          log.end()
          const all: string[] = []
          for (const turn of turns) {
            for (const [database, key] of turn) {
              note(Buffer.from(key), database)
              all.push(`${database} ${Buffer.from(key).toString('latin1')}`)
            }
            log.flush()
          }
          expect(keysOnDisk()).toEqual(all)
        },
      ),
    )
  })

  test('may be longer than the buffer', () => {
    note('before')
    note('k'.repeat(70_000), 3)
    note('m'.repeat(65_530))
    note('after')
    log.flush()
    expect(keysOnDisk().map((key) => key.length)).toEqual([8, 70_002, 65_532, 7])
  })

  test('may be every key', () => {
    note('a')
    log.noteEveryKey()
    note('b')
    log.flush()
    expect(keysOnDisk()).toEqual(['0 a', 'every key', '0 b'])
  })

  test('costs no file while nothing is noted', () => {
    log.flush()
    after(10_000)
    expect(files()).toEqual([])
  })
})

describe('segments', () => {
  test('end when they are old or large; one that is done is removed', () => {
    note('a')
    log.flush()
    after(500)
    expect(log.closed).toEqual([])
    after(1_100)
    expect(log.closed.map(({ number }) => number)).toEqual([1])
    for (let i = 0; i < 30_000; i++) note(`${'k'.repeat(190)}${i}`)
    log.flush()
    expect(log.closed.map(({ number }) => number)).toEqual([1, 2])
    expect(log.closedBytes).toBeGreaterThan(4 * 1024 * 1024)
    log.drop(1)
    expect(files()).toEqual(['0000000002.log', '0000000003.log'])
    log.end()
    expect(files()).toEqual([])
    expect(log.bytes).toBe(0)
  })

  test('what waits for ever stands in each of them, and is no reason for a new one', () => {
    noteInEvery = ['waits']
    note('a')
    log.flush()
    after(1_100)
    expect(keysIn(readFileSync(join(dir, '0000000002.log'))).keys).toEqual(['0 waits'])
    for (let i = 0; i < 5; i++) after(10_000)
    expect(files()).toHaveLength(2)
    note('b')
    log.flush()
    after(10_000)
    log.drop(2)
    expect(keysOnDisk()).toEqual(['0 waits'])
  })
})

describe('a segment that is not as it was written', () => {
  function written(blocks: number): { bytes: Buffer; ends: number[] } {
    const ends: number[] = []
    for (let i = 0; i < blocks; i++) {
      for (let j = 0; j <= i % 3; j++) note(`key:${i}:${j}`, i)
      log.flush()
      ends.push(log.bytes)
    }
    return { bytes: readFileSync(join(dir, '0000000001.log')), ends }
  }

  test('cut at any byte: every block before the cut is read, and that one is missing is known', () => {
    const { bytes, ends } = written(12)
    const { keys } = keysIn(bytes)
    let blocks = 0
    for (let cut = 0; cut <= bytes.length; cut++) {
      if (ends[blocks] === cut) blocks++
      const expected = keys.filter((key) => Number(key.split(' ')[0]) < blocks)
      const isBoundary = cut === 0 || ends.includes(cut)
      expect([cut, keysIn(bytes.subarray(0, cut))]).toEqual([
        cut,
        { keys: expected, end: isBoundary ? 'whole' : 'torn' },
      ])
    }
  })

  test('with any byte changed: no key is shown that was not written, and it is known', () => {
    const { bytes } = written(12)
    const { keys } = keysIn(bytes)
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes)
      changed[at]! ^= 0x41
      const read = keysIn(changed)
      expect(read.end).not.toBe('whole')
      for (const key of read.keys) expect(keys).toContain(key)
    }
  })

  test('that ends in zeros, or is nothing but noise, is not taken for whole', () => {
    const { bytes } = written(2)
    expect(keysIn(Buffer.concat([bytes, Buffer.alloc(100)])).end).toBe('damaged')
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (noise) => {
        expect(keysIn(Buffer.from(noise)).end).not.toBe('whole')
      }),
    )
  })
})

test('a directory that cannot be written is said once; when it can be, the log goes on', () => {
  note('a')
  log.flush()
  log.end()
  rmSync(dir, { recursive: true })
  for (const key of ['b', 'c']) {
    note(key)
    log.flush()
  }
  after(5_000)
  expect(events).toEqual(['failed ENOENT'])
  expect(log.failing).toBe(true)
  mkdirSync(dir)
  noteInEvery = ['waits']
  after(10_000)
  expect(events.slice(1)).toEqual(['began', 'recovered'])
  note('d')
  log.flush()
  expect(keysOnDisk()).toEqual(['0 waits', '0 d'])
})

test('a key that is noted and hashed at once is as noted, and has its hash', () => {
  const keys: [string, number][] = [
    ...['', 'k', 'key:000000000017', '\xff\x80\r\n', 'x'.repeat(127), 'x'.repeat(128), 'x'.repeat(70_000)].map(
      (key): [string, number] => [key, 0],
    ),
    ['k', 126],
    ['k', 127],
    ['k', 16_000],
  ]
  for (let i = 0; i < 800; i++) keys.push([`fill:${'x'.repeat(i % 200)}`, i])
  for (const [key, database] of keys) {
    const bytes = Buffer.from(`<${key}>`, 'latin1')
    expect(log.noteHashed(database, bytes, 1, bytes.length - 1)).toBe(hashBytes(bytes, 1, bytes.length - 1))
  }
  log.flush()
  expect(keysOnDisk()).toEqual(keys.map(([key, database]) => `${database} ${key}`))
})
