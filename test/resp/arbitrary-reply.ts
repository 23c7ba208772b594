import fc from 'fast-check'
import { ErrorReply, type Reply, SimpleReply } from '../../src/resp/reply.ts'

/** Any reply that RESP2 can say. */
export const resp2 = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 5, depthSize: 'medium' },
    fc.constant(null),
    fc.integer().map((n) => (n === 0 ? 0 : n)),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc.stringMatching(/^[ -~]{0,12}$/).map((text) => new SimpleReply(text)),
    fc.stringMatching(/^[A-Z]{1,8} [ -~]{1,12}$/).map((text) => new ErrorReply(text)),
    fc.array(tie('reply'), { maxLength: 4 }),
  ),
})).reply
