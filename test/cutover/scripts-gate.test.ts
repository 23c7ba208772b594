import { expect, test } from 'vitest'
import type { Config, Phase } from '../../src/config/config.ts'
import { parseConfig } from '../../src/config/file/load.ts'
import { gatesOf } from '../support/gates.ts'

function configOf(queues: Phase, rest: Phase, scripts = 'copy'): Config {
  const text = `
stores: { old: { url: redis://127.0.0.1:1 }, new: { url: redis://127.0.0.1:2 } }
routes:
  - { name: queues, keys: ["q:*"], source: old, target: new, scripts: ${scripts}, phase: ${queues} }
  - { name: rest, keys: ["*"], source: old, target: new, phase: ${rest} }
`
  return parseConfig(text, { path: 'understudy.yaml', env: {} }).config
}

/** The gates on scripts of a step, while scripts of the route `queues` have been seen that use keys which they do not declare. */
async function onScripts(
  before: Config,
  after: Config,
  seen = ['c9de48fe8f60d116de68a05101deb9f683108802'],
): Promise<string[]> {
  const all = await gatesOf(before, after, { queues: { scriptsInDoubt: seen }, rest: {} })
  return all
    .filter(({ reason }) => reason.includes('script'))
    .map(({ route, open }) => `${route} ${open ? 'open' : 'closed'}`)
}

const before = configOf('shadow', 'shadow')

test('keys are not parted from those that scripts reach without declaring them', async () => {
  expect(await onScripts(before, configOf('switched', 'shadow'))).toEqual(['queues closed'])
  expect(await onScripts(before, configOf('shadow', 'switched'))).toEqual(['rest closed'])
})

test('they move together, and where no such script has been seen, or none of them matters', async () => {
  expect(await onScripts(before, configOf('switched', 'switched'))).toEqual([])
  expect(await onScripts(before, configOf('switched', 'shadow'), [])).toEqual(['queues open'])
  expect(await onScripts(configOf('shadow', 'shadow', 'warn'), configOf('switched', 'shadow', 'warn'))).toEqual([
    'queues open',
  ])
})

test('nothing stands in the way of a way back', async () => {
  const switched = configOf('switched', 'switched')
  expect(await onScripts(switched, configOf('shadow', 'switched'))).toEqual([])
  expect(await onScripts(configOf('switched', 'shadow'), before)).toEqual([])
})

test('of a function that could not be read it is said that it is not known, and which right to give', async () => {
  const seen = ['unread function f', 'function g']
  const gates = await gatesOf(before, configOf('switched', 'shadow'), {
    queues: { scriptsInDoubt: seen },
    rest: {},
  })
  const reasons = gates.map(({ reason }) => reason).join()
  expect(reasons).toContain('do not declare (1 seen, function g)')
  expect(reasons).toMatch(/not known whether .* \(1 seen, function f, which cannot be read\), .*FUNCTION LIST/)
})
