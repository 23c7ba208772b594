import { expect, test } from 'vitest'
import { causeIn, refusedCommand } from '../../../src/mirror/stores/store-errors.ts'

test.each([
  ["ERR unknown command 'hPEXPIREAT', with args beginning with: 'secret' '5'", 'HPEXPIREAT', true],
  ['ERR unknown command `hSCAN`, with args beginning with: `secret`, ', 'HSCAN', true],
  ["NOPERM User app has no permissions to run the 'hpexpiretime' command", 'HPEXPIRETIME', false],
  ["NOPERM this user has no permissions to run the 'hscan' command or its subcommand", 'HSCAN', false],
  ["NOPERM User app has no permissions to run the 'memory|usage' command", 'MEMORY|USAGE', false],
  ['ERR unknown command', '', true],
] as const)('%s is about the command %j', (text, name, absent) => {
  expect(refusedCommand(text)).toEqual({ name, absent })
  expect(causeIn(text)).not.toContain('secret')
  expect(causeIn(text)).toContain(name)
})

test('an error about a key or a value is about no command, and only its code is shown', () => {
  for (const text of [
    'NOPERM No permissions to access a key',
    "NOPERM User app has no permissions to access the 'secret' key",
    'WRONGTYPE Operation against a key',
    "ERR something 'secret'",
  ]) {
    expect(refusedCommand(text)).toBeNull()
    expect(causeIn(text)).toBe(text.split(' ', 1)[0])
  }
})
