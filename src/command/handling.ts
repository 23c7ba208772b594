import type { Handling } from './spec.ts'

/**
 * Commands that do not simply go down the shared pipeline. A container's handling holds for its subcommands unless one has a row of
 * its own. Everything else, administration included, is `forward`.
 */
const HANDLING: Readonly<Record<string, Handling>> = {
  SELECT: 'session',
  AUTH: 'session',
  HELLO: 'session',
  'ACL WHOAMI': 'session',
  CLIENT: 'session',
  QUIT: 'session',
  RESET: 'session',
  READONLY: 'session',
  READWRITE: 'session',
  ASKING: 'session',

  MULTI: 'transaction',
  EXEC: 'transaction',
  DISCARD: 'transaction',
  WATCH: 'transaction',
  UNWATCH: 'transaction',

  BLPOP: 'blocking',
  BRPOP: 'blocking',
  BRPOPLPUSH: 'blocking',
  BLMOVE: 'blocking',
  BLMOVEM: 'blocking',
  BLMPOP: 'blocking',
  BZPOPMIN: 'blocking',
  BZPOPMAX: 'blocking',
  BZMPOP: 'blocking',
  XREAD: 'blocking',
  XREADGROUP: 'blocking',
  WAIT: 'blocking',
  WAITAOF: 'blocking',

  SUBSCRIBE: 'subscribe',
  UNSUBSCRIBE: 'subscribe',
  PSUBSCRIBE: 'subscribe',
  PUNSUBSCRIBE: 'subscribe',
  SSUBSCRIBE: 'subscribe',
  SUNSUBSCRIBE: 'subscribe',

  MONITOR: 'takeover',

  KEYS: 'keyspace',
  SCAN: 'keyspace',
  RANDOMKEY: 'keyspace',
  DBSIZE: 'keyspace',

  PUBLISH: 'publish',
  SPUBLISH: 'publish',

  SYNC: 'replica',
  PSYNC: 'replica',
  REPLCONF: 'replica',

  // The next EVAL on the connection would open a debugging session on it.
  'SCRIPT DEBUG': 'refuse',
  // Its fieldsets live on the connection, and a shared one would mix those of all clients.
  HIMPORT: 'refuse',
}

/** `name` in upper case, a subcommand as `XGROUP CREATE`. */
export function handlingOf(name: string): Handling {
  const space = name.indexOf(' ')
  return HANDLING[name] ?? (space === -1 ? undefined : HANDLING[name.slice(0, space)]) ?? 'forward'
}
