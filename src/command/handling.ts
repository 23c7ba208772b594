import type { Handling } from './spec.ts'

/** How a command that does not simply go down the shared pipeline is dealt with. */
export interface HandlingRow {
  readonly handling: Handling
  /** For the reference: what exactly becomes of it. Of a refused one: why, as the client is told. */
  readonly note: string
}

const BY_RIGHT = 'a user of the store is refused where the store would refuse it'
const OF_A_CLUSTER = 'answered as by a server that is no cluster node, which Understudy is to its clients'
const TRANSACTION =
  'whole transactions go down the shared connection in one piece; one that comes command by command, or watches, has a connection of its own until it ends'
const BLOCKS =
  'on a connection of its own; where a key is taken from and written to all the time, tried on the shared connection first, where it cannot block'
const SUBSCRIBES =
  'messages come from the primary of the channel’s route, under the name that the application knows; a switch moves the subscriptions before it gives up the old ones'
const KEYSPACE = 'shows the application its own keys, under its own names, over all stores that hold some'
const ELEMENTS =
  'a scan goes on at the store where it began, over switches, too: while a route’s ends are two servers the cursor says which one gave it; where that one may lack something, the scan begins again at the primary'
const LISTENERS = 'channels under the names of the application, over all stores that have some'
const PUBLISHES = 'under the name that the channel’s route gives it; at both ends while both are in use'
const REPLICATES = 'the connection becomes a pipe to the primary, as which it replicates'
const BESIDE = 'sent beside the shared connection, on which it would wait for the very script it is to end'

/**
 * The one table of commands that do not simply go down the shared connection. A container's row holds for its subcommands unless one has a row of its own. Everything
 * else, administration included, is `forward`. `docs/reference/commands.md` is made of it.
 */
export const HANDLING: Readonly<Record<string, HandlingRow>> = {
  SELECT: session('changes the database of this client alone; the store is asked whether there is such a one'),
  AUTH: session(
    'as `clients.auth` says: checked against the store’s credentials or Understudy’s own users, or by the store',
  ),
  HELLO: session('protocol, name and credentials of this client; the greeting tells the version of the primary'),
  'ACL WHOAMI': session('answered here where Understudy knows the user and the store does not; else forwarded'),
  QUIT: session('`+OK` and the end of the connection leave together, behind every reply that is owed'),
  RESET: session('forgets the transaction, subscriptions, tracking, database, protocol and name of this client'),
  READONLY: session(OF_A_CLUSTER),
  READWRITE: session(OF_A_CLUSTER),
  ASKING: session(OF_A_CLUSTER),

  CLIENT: session(
    'about the clients of Understudy: ids, addresses and names are those that it sees, never those of its own connections',
  ),
  'CLIENT HELP': forward('the text is that of the server'),
  'CLIENT LIST': session(
    `the clients of this process, in Redis’ own format; numbers that only a server has are 0; ${BY_RIGHT}`,
  ),
  'CLIENT INFO': session('the line of CLIENT LIST about this client'),
  'CLIENT KILL': session(`by id, address, type and user, in both forms; ${BY_RIGHT}`),
  'CLIENT NO-EVICT': session('ON: the client gets a connection of its own to each primary, and the server is told'),
  'CLIENT NO-TOUCH': session('ON: the client gets a connection of its own to each primary, and the server is told'),
  'CLIENT IMPORT-SOURCE': session(
    'of Valkey; ON: the client gets a connection of its own to each primary, and the server is told',
  ),
  'CLIENT CAPA': session('of Valkey; noted, for CLIENT LIST: Understudy redirects nobody'),
  'CLIENT PAUSE': session(
    `clients of Understudy wait, all of them or those that write; the store is told to hold writes and expiry where nothing of Understudy’s writes to it; ${BY_RIGHT}`,
  ),
  'CLIENT UNBLOCK': session(`a blocked client of Understudy, by the id that CLIENT ID gave; ${BY_RIGHT}`),
  'CLIENT REPLY': session('replies are counted and left out'),
  'CLIENT TRACKING': session(
    'the client gets a connection of its own to each primary for as long as it tracks; REDIRECT takes the ids that CLIENT ID gives',
  ),
  'CLIENT CACHING': session('on the connection that the next command takes'),
  'CLIENT TRACKINGINFO': session('of the tracking client’s connection, with the ids that CLIENT ID gives'),
  'CLIENT GETREDIR': session('with the ids that CLIENT ID gives'),

  MULTI: row('transaction', TRANSACTION),
  EXEC: row('transaction', TRANSACTION),
  DISCARD: row('transaction', TRANSACTION),
  WATCH: row('transaction', TRANSACTION),
  UNWATCH: row('transaction', TRANSACTION),

  BLPOP: row('blocking', BLOCKS),
  BRPOP: row('blocking', BLOCKS),
  BRPOPLPUSH: row('blocking', BLOCKS),
  BLMOVE: row('blocking', BLOCKS),
  BLMOVEM: row('blocking', BLOCKS),
  BLMPOP: row('blocking', BLOCKS),
  BZPOPMIN: row('blocking', BLOCKS),
  BZPOPMAX: row('blocking', BLOCKS),
  BZMPOP: row('blocking', BLOCKS),
  XREAD: row('blocking', `with BLOCK: ${BLOCKS}. Without: forwarded`),
  XREADGROUP: row('blocking', `with BLOCK: ${BLOCKS}. Without: forwarded`),
  WAIT: row('blocking', 'on a connection of its own, behind everything that Understudy has written to the store'),
  WAITAOF: row('blocking', 'on a connection of its own, behind everything that Understudy has written to the store'),

  SUBSCRIBE: row('subscribe', SUBSCRIBES),
  UNSUBSCRIBE: row('subscribe', SUBSCRIBES),
  PSUBSCRIBE: row('subscribe', SUBSCRIBES),
  PUNSUBSCRIBE: row('subscribe', SUBSCRIBES),
  SSUBSCRIBE: row('subscribe', SUBSCRIBES),
  SUNSUBSCRIBE: row('subscribe', SUBSCRIBES),

  MONITOR: row(
    'takeover',
    'shows what the store executes, with the address of Understudy’s connection, and what Understudy answers in its place; not what Understudy asks for itself',
  ),

  KEYS: row('keyspace', KEYSPACE),
  SCAN: row('keyspace', KEYSPACE),
  RANDOMKEY: row('keyspace', KEYSPACE),
  DBSIZE: row(
    'keyspace',
    `${KEYSPACE}; counted by SCAN where a store holds more than these; inside MULTI by a script, which is bounded`,
  ),

  HSCAN: row('elements', ELEMENTS),
  SSCAN: row('elements', ELEMENTS),
  ZSCAN: row('elements', ELEMENTS),

  'PUBSUB CHANNELS': row('keyspace', LISTENERS),
  'PUBSUB NUMSUB': row('keyspace', LISTENERS),
  'PUBSUB NUMPAT': row('keyspace', 'patterns as the store counts them, behind the subscriptions that are under way'),
  'PUBSUB SHARDCHANNELS': row('keyspace', LISTENERS),
  'PUBSUB SHARDNUMSUB': row('keyspace', LISTENERS),

  PUBLISH: row('publish', PUBLISHES),
  SPUBLISH: row('publish', PUBLISHES),

  'SCRIPT KILL': row('beside', BESIDE),
  'FUNCTION KILL': row('beside', BESIDE),
  'FUNCTION STATS': row('beside', BESIDE),
  INFO: row(
    'mended',
    'the primary’s; `connected_clients` are those of Understudy, and those that CLIENT PAUSE holds here count as blocked',
  ),
  'SLOWLOG GET': row(
    'mended',
    'the primary’s, without what Understudy asks for itself; of commands that took 10 ms or longer, address and name of the client that sent them',
  ),
  'COMMANDLOG GET': row('mended', 'of Valkey; as `SLOWLOG GET`'),
  'ACL LOG': row('mended', 'the primary’s; a refused log-in stands there as `AUTH`, however it was sent'),
  'LATENCY HISTOGRAM': row('mended', 'the primary’s, and the calls of what Understudy answers itself'),
  'SCRIPT EXISTS': row(
    'mended',
    'yes where every primary in use has the script, of a cluster every master; those whose source has passed are loaded there first; a primary that gives no answer is left out, unless it is that of `*`',
  ),
  'CONFIG SET': row(
    'mended',
    'at the primary; of Valkey’s `availability-zone` and `extended-redis-compatibility` `HELLO` tells at once',
  ),
  'CONFIG RESETSTAT': row('mended', 'at the primary, and the calls of what Understudy answers itself'),
  'DEBUG PROTOCOL': row(
    'beside',
    '`push` on a connection of its own, so that the push is the client’s; any other is forwarded',
  ),
  SHUTDOWN: row('beside', `${BESIDE}; the client’s connection ends without an answer, as with the store`),

  SYNC: row('replica', REPLICATES),
  PSYNC: row('replica', REPLICATES),
  REPLCONF: row('replica', REPLICATES),
  'SCRIPT DEBUG': row('refuse', 'the next EVAL of anybody would open a debugging session: debug at the store itself'),
  HIMPORT: row('refuse', 'its fieldsets live on the connection, and a shared one would mix those of all clients'),
}

/** `name` in upper case, a subcommand as `XGROUP CREATE`. */
export function handlingOf(name: string): Handling {
  return handlingRowOf(name)?.handling ?? 'forward'
}

/** Null: nothing special, it is forwarded. */
export function handlingRowOf(name: string): HandlingRow | null {
  const space = name.indexOf(' ')
  return HANDLING[name] ?? (space === -1 ? undefined : HANDLING[name.slice(0, space)]) ?? null
}

function row(handling: Handling, note: string): HandlingRow {
  return { handling, note }
}

function session(note: string): HandlingRow {
  return row('session', note)
}

function forward(note: string): HandlingRow {
  return row('forward', note)
}
