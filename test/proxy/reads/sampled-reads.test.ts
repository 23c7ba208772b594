import { expect, test } from 'vitest'
import { KeyPositions } from '../../../src/command/keys.ts'
import type { CommandSpec } from '../../../src/command/spec.ts'
import type { DataPath } from '../../../src/proxy/data-path.ts'
import { TransactionReads } from '../../../src/proxy/reads/sampled-reads.ts'
import type { Queued } from '../../../src/proxy/transaction/exec-reply.ts'
import { viewOf } from '../../../src/resp/command-view.ts'

const GET = { name: 'GET', readonly: true, write: false } as CommandSpec
const SET = { name: 'SET', readonly: false, write: true } as CommandSpec

/** Queues `[command, key]` as one transaction; gives the places of the reads that are asked at the shadow. */
function compared(commands: readonly (readonly [CommandSpec, string])[]): number[] {
  const asked: number[] = []
  const positions = new KeyPositions()
  positions.add(1)
  const path = {
    plan: { positions, keyHash: 0, route: { samples: true, always: [], never: [], sampleBelow: 1 } },
    isComparable: () => true,
    comparer: {
      askedFor: () => 0,
      sampled: (...[, , , bytes]: readonly unknown[]) => asked.push((bytes as Buffer).length),
    },
  } as unknown as DataPath
  const reads = new TransactionReads()
  for (const [i, [spec, key]] of commands.entries())
    reads.queued(path, spec, viewOf([Buffer.from(spec.name), Buffer.from(key)]), i)
  reads.left(path, 0)
  // What stands for a command's bytes is as long as its place says.
  const queue = commands.map(([spec], i) => ({ spec, bytes: { length: i } }) as unknown as Queued)
  reads.settled(path, queue, Buffer.alloc(0), new Int32Array(commands.length + 1), 0)
  return asked
}

test('a read is compared unless its key is written behind it', () => {
  const commands = [
    [GET, 'a'],
    [SET, 'b'],
    [GET, 'b'],
    [SET, 'a'],
    [GET, 'a'],
    [GET, 'c'],
  ] as const
  expect(compared(commands)).toEqual([2, 4, 5])
})

test('of very many commands that read and write by turns it is known in a moment', () => {
  const pairs = 200_000
  const commands = Array.from({ length: pairs }, (_, i) => [
    [GET, `read ${i % 100}`] as const,
    [SET, 'written'] as const,
  ])
  expect(compared(commands.flat())).toHaveLength(pairs)
})
