import { expect, test } from 'vitest'
import type { Args, EffectContext } from '../../src/command/effects.ts'
import { CommandTable } from '../../src/command/table.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import type { Reply } from '../../src/resp/reply.ts'
import { effectOf } from '../support/effect-of.ts'

const table = CommandTable.builtin()
const context: EffectContext = {
  nowMs: 1_000_000_000_000,
  shadowHasAbsoluteExpiry: true,
  shadowHasHsetex: true,
  haveFieldTimes: true,
  canAsk: true,
}

/** About as many as one command may have: far more than a call can be given as arguments. */
const MANY = 1_000_000
const ids: Buffer[] = Array.from({ length: MANY }, (_, i) => Buffer.from(`${i + 1}-1`))
const entries: Reply[] = ids.map((id) => [id, []])
const ones: Reply[] = new Array<Reply>(MANY).fill(1)
const twos: Reply[] = new Array<Reply>(MANY).fill(2)

const words = (line: string): Buffer[] => line.split(' ').map((word) => Buffer.from(word))

test.each<[command: string, args: Args, reply: Reply, elements: number]>([
  ['SPOP', words(`SPOP k ${MANY}`), ids, MANY],
  ['MSETNX', [...words('MSETNX'), ...ids], 1, MANY],
  ['MSETEX', [...words(`MSETEX ${MANY / 2}`), ...ids, ...words('EX 10')], 1, MANY],
  ['XADD', [...words('XADD k *'), ...ids], Buffer.from('1-1'), MANY],
  ['HSETEX', [...words(`HSETEX k EX 10 FIELDS ${MANY / 2}`), ...ids], 1, MANY],
  ['HGETDEL', [...words(`HGETDEL k FIELDS ${MANY}`), ...ids], ids, MANY],
  ['HGETEX', [...words(`HGETEX k EX 10 FIELDS ${MANY}`), ...ids], ids, MANY],
  ['HEXPIRE', [...words(`HEXPIRE k 10 FIELDS ${MANY}`), ...ids], ones, MANY],
  ['HEXPIRE of a time that has passed', [...words(`HEXPIRE k 0 FIELDS ${MANY}`), ...ids], twos, MANY],
  ['XREADGROUP of new entries', words('XREADGROUP GROUP g c STREAMS k >'), [[Buffer.from('k'), entries]], MANY],
  ['XREADGROUP again', words('XREADGROUP GROUP g c STREAMS k 0'), [[Buffer.from('k'), entries]], MANY],
  ['XCLAIM', [...words('XCLAIM k g c 0'), ...ids], entries, MANY],
  ['XAUTOCLAIM', words(`XAUTOCLAIM k g c 0 0 COUNT ${MANY}`), [Buffer.from('0-0'), entries, []], MANY],
  [
    'XAUTOCLAIM of entries that are gone',
    words(`XAUTOCLAIM k g c 0 0 COUNT ${MANY}`),
    [Buffer.from('0-0'), [], ids],
    MANY,
  ],
  ['EVAL', [...words(`EVAL script ${MANY}`), ...ids], 1, MANY],
])('the effect of %s with a million elements has all of them', (_name, args, reply, elements) => {
  const effect = effectOf(table.lookup(viewOf(args))!, args, reply, context)
  const told =
    effect.kind === 'commands'
      ? effect.commands.reduce((sum, { length }) => sum + length, 0)
      : 'keys' in effect
        ? effect.keys.length
        : 0
  expect(told).toBeGreaterThanOrEqual(elements)
})
