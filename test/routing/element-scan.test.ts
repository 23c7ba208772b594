import { expect, test } from 'vitest'
import { CommandTable } from '../../src/command/table.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import { encodeCommand } from '../../src/resp/encode.ts'
import { pageForShadow } from '../../src/routing/element-scan.ts'
import { Plan, planCommand, renameForPrimary } from '../../src/routing/plan.ts'
import { RouteTable } from '../../src/routing/route-table.ts'
import { configOf } from '../support/data-path.ts'

const names = { 'job:{id}': 'step:{id}' }
const config = configOf({
  stores: { old: { port: 1 }, new: { port: 2 } },
  routes: [
    { name: 'jobs', keys: Object.keys(names), source: 'old', target: { store: 'new', keys: names }, phase: 'switched' },
    { name: 'rest', source: 'old' },
  ],
})
const table = new RouteTable(config, 0, Object.keys(config.stores), new Map())
const commands = CommandTable.builtin()

test('whatever else a page asks for goes along, to either end, under its name', () => {
  const view = viewOf(
    ['hscan', 'job:1', '17', 'NOVALUES', 'MATCH', 'job:*', 'count', '5'].map((arg) => Buffer.from(arg)),
  )
  const plan = new Plan()
  planCommand(table, commands.lookup(view)!, view, plan)
  expect(plan).toMatchObject({ elsewhere: '17', renames: true, route: { name: 'jobs' } })
  const rest = ['NOVALUES', 'MATCH', 'job:*', 'count', '5']
  expect(renameForPrimary(table, view, plan)).toEqual(encodeCommand(['hscan', 'step:1', '0', ...rest]))
  expect(pageForShadow(table, view, plan.elsewhere!)).toEqual(encodeCommand(['hscan', 'job:1', '17', ...rest]))
})

test('on a route with one end nothing is written anew, and the server judges what is wrong', () => {
  for (const args of [['SSCAN', 'other:1', '17'], ['SSCAN', 'other:1', 'x'], ['SSCAN', 'other:1'], ['SSCAN']]) {
    const view = viewOf(args.map((arg) => Buffer.from(arg)))
    const plan = new Plan()
    planCommand(table, commands.lookup(view)!, view, plan)
    expect(plan).toMatchObject({ elsewhere: null, renames: false, special: null, route: { name: 'rest' } })
  }
})
