import { describe, expect, test } from 'vitest'
import { CommandTable } from '../../../src/command/table.ts'
import { answerOf } from '../../../src/mirror/effects/settled-command.ts'
import { answerToComputed, differs, NO_ANSWER } from '../../../src/mirror/shadow/shadow-answers.ts'

const commands = CommandTable.builtin()

/** What the shadow is taken for that answers `reply` to a command made of the primary's reply. */
function judged(line: string, reply: string): 'as the primary' | 'another' | 'not looked at' {
  const words = line.split(' ')
  const spec = commands.byName(words[0]!)!
  const answer = answerToComputed(
    spec,
    words.map((word) => Buffer.from(word)),
  )
  if (answer === NO_ANSWER) return 'not looked at'
  // It lies among others.
  const buf = Buffer.from(`+OK\r\n${reply}+OK\r\n`)
  return differs(spec, answer, buf, 5, 5 + Buffer.byteLength(reply)) ? 'another' : 'as the primary'
}

describe('a shadow that lacks a field whose life was made longer is found out by its answer', () => {
  test.each([
    ['HPEXPIREAT k 5 FIELDS 2 a b', '*2\r\n:1\r\n:1\r\n', 'as the primary'],
    ['HPEXPIREAT k 5 FIELDS 2 a b', '*2\r\n:1\r\n:-2\r\n', 'another'],
    ['HPEXPIREAT k 5 FIELDS 1 a', '*1\r\n:-2\r\n', 'another'],
    // The time has passed by now, on the primary as well.
    ['HPEXPIREAT k 5 FIELDS 1 a', '*1\r\n:2\r\n', 'as the primary'],
    ['HPEXPIREAT k 5 FIELDS 1 a', '*-1\r\n', 'another'],
    ['HPERSIST k FIELDS 2 a b', '*2\r\n:1\r\n:1\r\n', 'as the primary'],
    // HGETEX ... PERSIST of a field without a time.
    ['HPERSIST k FIELDS 2 a b', '*2\r\n:-1\r\n:1\r\n', 'as the primary'],
    ['HPERSIST k FIELDS 2 a b', '*2\r\n:-2\r\n:1\r\n', 'another'],
    ['HPERSIST k FIELDS 1 a', '*-1\r\n', 'another'],
    ['HPERSIST k FIELDS 1 a', '*0\r\n', 'another'],
    ['PEXPIREAT k 5', ':1\r\n', 'as the primary'],
    ['PEXPIREAT k 5', ':0\r\n', 'another'],
    ['HDEL k f', ':0\r\n', 'not looked at'],
  ] as const)('%s answered with %j: %s', (line, reply, expected) => {
    expect(judged(line, reply)).toBe(expected)
  })
})

test('a boolean of RESP3 is the integer that the shadow answers', () => {
  const spec = commands.byName('VADD')!
  const answered = (primary: string, shadow: string): boolean => {
    const answer = answerOf(Buffer.from(primary), 0)
    expect(answer).not.toBe(NO_ANSWER)
    return differs(spec, answer, Buffer.from(shadow), 0, shadow.length)
  }
  expect(answered('#t\r\n', ':1\r\n')).toBe(false)
  expect(answered('#f\r\n', ':0\r\n')).toBe(false)
  expect(answered('#t\r\n', ':0\r\n')).toBe(true)
  expect(answered('#f\r\n', ':1\r\n')).toBe(true)
  expect(answerOf(Buffer.from('+OK\r\n'), 0)).toBe(NO_ANSWER)
})
