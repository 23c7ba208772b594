import { ErrorReply, type Reply } from '../../resp/reply.ts'
import type { StoreConnection } from './store-connection.ts'

/** Commands of one moment (MULTI ... EXEC): their replies, or the first error if nothing was executed. Rejects with StoreLost. */
export async function atOneMoment(
  connection: StoreConnection,
  commands: readonly (readonly (Buffer | string | number)[])[],
): Promise<readonly Reply[] | ErrorReply> {
  const replies = await Promise.all([['MULTI'], ...commands, ['EXEC']].map((command) => connection.ask(command)))
  const executed = replies.at(-1)
  if (Array.isArray(executed)) return executed
  return replies.find((reply) => reply instanceof ErrorReply) ?? new ErrorReply('EXECABORT nothing was executed')
}
