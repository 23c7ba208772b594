import { expect, test } from 'vitest'
import type { Args } from '../../src/command/effects.ts'
import { KEY } from '../../src/mirror/pieces/pieces.ts'
import { StreamPieces } from '../../src/mirror/pieces/stream.ts'
import type { Reply } from '../../src/resp/reply.ts'
import { driftBetween } from '../support/keyspace.ts'
import { startRedis } from '../support/redis.ts'

test('an entry that is delivered, and deleted before it is read, is pending in the copy, too', async () => {
  const [old, fresh] = await Promise.all([startRedis(), startRedis()])
  try {
    const [from, to] = [old.client(), fresh.client()]
    for (let i = 1; i <= 9; i++) await from.xadd('x', `${i}-1`, 'f', 'v')
    await from.xgroup('CREATE', 'x', 'g', '0')
    const call = (redis: typeof from, [name, ...args]: Args) =>
      redis.callBuffer(name!.toString(), ...args.map((arg) => (arg === KEY ? 'x' : arg))) as Promise<Reply>
    const pieces = new StreamPieces(Buffer.from('x'), Date.now, true)
    for (let step = 1; ; step++) {
      const replies: Reply[] = []
      for (const args of pieces.reads(2)) replies.push(await call(from, args))
      const taken = pieces.take(replies)
      for (const args of taken!.writes) await call(to, args)
      if (taken!.done) break
      // The names, what is pending, the first two entries have been read.
      if (step !== 3) continue
      await from.xreadgroup('GROUP', 'g', 'c', 'COUNT', 7, 'STREAMS', 'x', '>')
      await from.xdel('x', '2-1', '5-1', '6-1', '9-1')
      expect(
        pieces.effect(
          'XDEL',
          ['XDEL', 'x', '2-1', '5-1', '6-1', '9-1'].map((arg) => Buffer.from(arg)),
        ),
      ).toBeDefined()
    }
    expect(await to.xpending('x', 'g')).toEqual(await from.xpending('x', 'g'))
    expect(await driftBetween(old, fresh)).toEqual([])
  } finally {
    await Promise.all([old.stop(), fresh.stop()])
  }
})
