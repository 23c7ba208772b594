import { expect, test } from 'vitest'
import { NEEDS_OF_ENDS } from '../../src/preflight/needs.ts'
import { isDenied } from '../../src/preflight/rights.ts'

const need = (name: string) => NEEDS_OF_ENDS.find(({ command }) => command === name)!

test('a command that is not known is missing, but not where an older server has nothing that it tells of', () => {
  const unknown = new Error("ERR unknown command 'x', with args beginning with: ")
  const barred = new Error("NOPERM User app has no permissions to run the 'x' command")
  for (const [name, denied] of [
    ['DUMP', true],
    ['HPEXPIRETIME', false],
  ] as const) {
    expect([name, isDenied(need(name), unknown)]).toEqual([name, denied])
    expect(isDenied(need(name), barred)).toBe(true)
    expect(isDenied(need(name), new Error('WRONGTYPE'))).toBe(false)
    expect(isDenied(need(name), [-2])).toBe(false)
  }
})

test('a need is called by the words that its probe begins with, a subcommand by both', () => {
  for (const { command, probe } of NEEDS_OF_ENDS) {
    const words = probe('k')
    const isSub = ['CLIENT', 'FUNCTION', 'MEMORY', 'SCRIPT'].includes(words[0]!)
    expect(command).toBe(words.slice(0, isSub ? 2 : 1).join(' '))
  }
})
