import { expect, test } from 'vitest'
import { command } from '../../../src/command/effects/building.ts'
import { CommandTable } from '../../../src/command/table.ts'
import type { DataPathContext } from '../../../src/mirror/context.ts'
import { DirtySet } from '../../../src/mirror/dirty/dirty-set.ts'
import type { ScriptEffects } from '../../../src/mirror/effects/script-effects.ts'
import { digestOf } from '../../../src/mirror/functions/function-list.ts'
import { SentFunctions } from '../../../src/mirror/functions/sent-functions.ts'
import type { KeyRefs } from '../../../src/mirror/keys/key-refs.ts'
import { ShadowDoubts } from '../../../src/mirror/shadow/shadow-doubts.ts'
import { CommandParser } from '../../../src/resp/command-parser.ts'
import { encodeCommand } from '../../../src/resp/encode.ts'
import { RouteTable } from '../../../src/routing/route-table.ts'
import { configOf } from '../../support/data-path.ts'

test('what a shadow answers to a library is its own, also when the route has another one by then', () => {
  const table = (target: string): RouteTable => {
    const stores = { old: { port: 1 }, new: { port: 2 }, third: { port: 3 } }
    const config = configOf({ stores, routes: [{ source: 'old', target, phase: 'mirror' }] })
    return new RouteTable(config, 1, Object.keys(stores), new Map())
  }
  const { fallback } = table('new')
  const functions = new SentFunctions()
  const context = { routes: table('third') } as unknown as DataPathContext
  const doubts = new ShadowDoubts(context, new DirtySet(10), {} as KeyRefs, {} as ScriptEffects, functions)
  const code = Buffer.from("#!lua name=carts\nredis.register_function('f', function() return 1 end)")
  const args = command('FUNCTION', 'LOAD', code)
  const bytes = encodeCommand(args)
  const parser = new CommandParser()
  parser.parse(bytes, 0, bytes.length)
  const spec = CommandTable.builtin().lookup(parser)!
  for (const shadow of ['new', 'third']) functions.sent(spec.name, args, shadow)
  doubts.keylessDone(spec, fallback, bytes, 0, bytes.length)
  const confirmed = ['new', 'third'].filter((shadow) => functions.has(shadow, 'carts', digestOf(code), 1))
  expect(confirmed).toEqual(['new'])
})
