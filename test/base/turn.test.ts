import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Turn } from '../../src/base/turn.ts'

/** Each of these happens in a turn of its own; gives in which of them (counted from 0) it was flushed, and how often. */
async function flushedIn(turns: readonly ((turn: Turn, item: { flush(): void }) => void)[]): Promise<number[]> {
  const turn = new Turn()
  const flushed: number[] = []
  let now = 0
  const item = { flush: () => void flushed.push(now) }
  for (const happens of turns) {
    happens(turn, item)
    await nextTurn()
    now++
  }
  return flushed
}

const reads =
  (clients: number, bytes = 40) =>
  (turn: Turn): void => {
    for (let i = 0; i < clients; i++) turn.clientRead(bytes)
  }
const nothing = reads(0)

describe('what leaves with its turn', () => {
  it('does so however many clients ask', async () => {
    const first = (turn: Turn, item: { flush(): void }): void => {
      turn.add(item)
      reads(5)(turn)
    }
    expect(await flushedIn([first, reads(5), nothing])).toEqual([0])
  })
})

describe('what gathers', () => {
  const gathers =
    (clients: number, bytes = 40) =>
    (turn: Turn, item: { flush(): void }): void => {
      turn.gather(item)
      reads(clients, bytes)(turn)
    }

  it('leaves at once where no client, or one alone, has asked', async () => {
    expect(await flushedIn([gathers(0), nothing])).toEqual([0])
    expect(await flushedIn([gathers(1), nothing])).toEqual([0])
  })

  it('waits for a turn in which nobody asks', async () => {
    expect(await flushedIn([gathers(2), nothing, nothing])).toEqual([1])
    expect(await flushedIn([gathers(2), reads(1), reads(1), nothing, nothing])).toEqual([3])
  })

  it('waits for no more than 64 clients, and what gathers after them is another lot', async () => {
    expect(await flushedIn([gathers(64), nothing])).toEqual([0])
    expect(await flushedIn([gathers(60), reads(3), reads(1), nothing])).toEqual([2])
    expect(await flushedIn([gathers(64), gathers(2), nothing, nothing])).toEqual([0, 2])
  })

  it('waits for no more than 16 KB of what clients ask', async () => {
    expect(await flushedIn([gathers(3, 5_000), reads(1, 1_383), nothing, nothing])).toEqual([2])
    expect(await flushedIn([gathers(3, 5_000), reads(1, 1_384), nothing])).toEqual([1])
    expect(await flushedIn([gathers(2, 8_192), nothing])).toEqual([0])
  })

  it('does not keep others: what is gathered in a flush leaves later, each item once', async () => {
    const turn = new Turn()
    const order: string[] = []
    const second = { flush: () => void order.push('second') }
    turn.gather({
      flush: () => {
        order.push('first')
        turn.gather(second)
      },
    })
    await nextTurn()
    expect(order).toEqual(['first'])
    await nextTurn()
    expect(order).toEqual(['first', 'second'])
    await nextTurn()
    expect(order).toEqual(['first', 'second'])
  })
})
