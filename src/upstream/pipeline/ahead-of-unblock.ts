import { encodeOwn } from '../../resp/own-words.ts'

/**
 * Said ahead of every CLIENT UNBLOCK, on its connection: a command that does nothing, and that a server holds back while writes are paused (`CLIENT PAUSE ... WRITE`, a failover by command, a shutdown that waits for replicas).
 *
 * A server that is told to unblock a client whose command it holds for a pause crashes (seen of Redis 7.0 and 8.0, and Valkey 8.1). Held back as well, the UNBLOCK comes when that command is executed, and the client blocked as it should be. A
 * script needs no right to a key or a channel, and goes to any node of a cluster.
 */
export const AHEAD_OF_UNBLOCK: Buffer = encodeOwn(['EVAL', 'return 0', '0'])
