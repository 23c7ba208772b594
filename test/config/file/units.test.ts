import { describe, expect, it } from 'vitest'
import { parseBytes, parseDuration, parseShare } from '../../../src/config/file/units.ts'

describe('sizes', () => {
  it.each([
    ['64mb', 64 * 1024 * 1024],
    ['1KB', 1024],
    ['1.5gb', 1.5 * 1024 ** 3],
    ['10 b', 10],
    ['0', 0],
  ])('%s', (text, bytes) => expect(parseBytes(text)).toBe(bytes))

  it.each(['64', 'mb', '64mib', '-1mb', '1e3mb', '', '64 m b', '9999999gb'])(
    '%j is refused with an example',
    (text) => {
      expect(() => parseBytes(text)).toThrow('64mb')
    },
  )
})

describe('times', () => {
  it.each([
    ['250ms', 250],
    ['2s', 2000],
    ['0.5s', 500],
    ['5m', 300_000],
    ['1h', 3_600_000],
  ])('%s', (text, milliseconds) => expect(parseDuration(text)).toBe(milliseconds))

  it('what no timer can wait for is refused', () => {
    expect(parseDuration('596h')).toBe(596 * 3_600_000)
    expect(() => parseDuration('597h')).toThrow('is not a time of 596h at most')
  })

  it.each(['5', '5 minutes', '2d', '-1s', ''])('%j is refused with an example', (text) => {
    expect(() => parseDuration(text)).toThrow('250ms')
  })
})

describe('percentages', () => {
  it.each([
    ['1%', 0.01],
    ['0.1 %', 0.001],
    ['100%', 1],
    ['0%', 0],
  ])('%s', (text, share) => expect(parseShare(text)).toBeCloseTo(share, 10))

  it.each(['1', '101%', '-1%', '%', 'one%'])('%j is refused with an example', (text) => {
    expect(() => parseShare(text)).toThrow('write it like 1%')
  })
})
