import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeReply } from '../../src/resp/decode.ts'
import { encodeReply } from '../../src/resp/encode.ts'
import { inResp2 } from '../../src/resp/in-resp2.ts'
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  PushReply,
  type Reply,
  SetReply,
  SimpleReply,
  VerbatimReply,
} from '../../src/resp/reply.ts'

const text = fc.string({ maxLength: 8 }).map((chars) => Buffer.from(chars))

const { reply: anyReply } = fc.letrec<{ reply: Reply; list: Reply[] }>((tie) => ({
  list: fc.array(tie('reply'), { maxLength: 4 }),
  reply: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.constantFrom<Reply>(
      null,
      true,
      false,
      7,
      -1,
      2n ** 62n,
      2n ** 70n,
      new SimpleReply('OK'),
      new ErrorReply('ERR'),
    ),
    text,
    fc.constantFrom('inf', '-inf', '0', '1.5', '9.9999999999999995e-08').map((score) => new DoubleReply(score)),
    text.map((bytes) => new VerbatimReply('txt', bytes)),
    tie('list'),
    tie('list').map((members) => new SetReply(members)),
    tie('list').map((items) => new PushReply(items)),
    fc.array(fc.tuple(tie('reply'), tie('reply')), { maxLength: 3 }).map((entries) => new MapReply(entries)),
  ),
}))

test('whatever a store answers in RESP3 is what is read of the same answer in RESP2', () => {
  const read = (reply: Reply, protocol: 2 | 3): Reply => {
    const frame = encodeReply(reply, protocol)
    return inResp2(decodeReply(frame, 0, frame.length))
  }
  fc.assert(
    fc.property(anyReply, (reply) => {
      expect(read(reply, 3)).toEqual(read(reply, 2))
    }),
  )
})

test('maps are names and values in turn, sets lists, doubles their texts, at any depth', () => {
  const groups = [new MapReply([[Buffer.from('name'), Buffer.from('g')]]), new SetReply([new DoubleReply('inf'), true])]
  expect(inResp2(groups)).toEqual([
    [Buffer.from('name'), Buffer.from('g')],
    [Buffer.from('inf'), 1],
  ])
})
