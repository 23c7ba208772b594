/** What has to be known of commands by name when a script calls them: on what it depends whether the script can be carried out again on another server. Read by `script-analysis.ts`. */

/** Commands that know strings, hashes or sets only: of anything else they say that it is of the wrong type, on both sides. */
export const NO_QUEUE =
  /^(?:H|GET|SET|INCR|DECR|APPEND|STRLEN|SUBSTR|MGET|MSET|BIT|PF|PUBLISH|SPUBLISH|S(?:ADD|REM|CARD|ISMEMBER|MISMEMBER|MEMBERS|POP|RANDMEMBER|MOVE|INTER|UNION|DIFF|SCAN))/
/** Tried on Redis 7.0 and 8.0 and Valkey 9.1 with every write command: these change a key without a word to those that track it. Wherever the name stands, it may be called. */
export const UNTOLD =
  /xgroup|xreadgroup|xclaim|xautoclaim|xack|xnack|xsetid|xcfgset|pfdebug|hp?expire|h[gs]etex|hpersist/i
/** They set a time that is counted from when they are executed. */
export const RELATIVE: ReadonlySet<string> = new Set([
  ...[
    'EXPIRE',
    'PEXPIRE',
    'SETEX',
    'PSETEX',
    'GETEX',
    'HEXPIRE',
    'HPEXPIRE',
    'HGETEX',
    'HSETEX',
    'MSETEX',
    'INCREX',
    'RESTORE',
  ],
])
/** They change no key. */
export const MESSAGES: ReadonlySet<string> = new Set(['PUBLISH', 'SPUBLISH', 'PING', 'ECHO'])
/** Their first argument is a channel. */
export const PUBLISHING: ReadonlySet<string> = new Set(['PUBLISH', 'SPUBLISH'])
/** They tell of keys that they do not name. */
export const ABOUT_ALL_KEYS: ReadonlySet<string> = new Set(['KEYS', 'SCAN', 'RANDOMKEY', 'DBSIZE'])
/** Of keys beyond those of this database that they name. */
export const ELSEWHERE: ReadonlySet<string> = new Set([
  'FLUSHALL',
  'FLUSHDB',
  'SWAPDB',
  'SELECT',
  'MOVE',
  'COPY',
  'MIGRATE',
])
/** By any of these names a script reaches what the server does not tell in full: for one whose command may be an argument. */
export function isUntold(name: string): boolean {
  return ELSEWHERE.has(name.toUpperCase()) || UNTOLD_ALONE.test(name)
}

const UNTOLD_ALONE = new RegExp(`^(?:${UNTOLD.source})$`, 'i')

/** They answer with numbers that servers do not write alike: scores, and places on the earth. Others do where they are asked for scores. */
export const SCORES: ReadonlySet<string> = new Set([
  ...['ZSCORE', 'ZMSCORE', 'ZINCRBY', 'ZPOPMIN', 'ZPOPMAX', 'ZMPOP', 'BZPOPMIN', 'BZPOPMAX', 'BZMPOP', 'GEOPOS'],
])
export const WITH_SCORES = /^(?:Z(?:REV)?RANGE(?:BYSCORE)?|Z(?:REV)?RANK|ZUNION|ZINTER|ZDIFF|ZADD)$/

/** By chance, by time, by an order that is each server's own, by what is each server's own, or by its floating point. */
export const VARYING: ReadonlySet<string> = new Set([
  ...[
    'TIME',
    'RANDOMKEY',
    'SRANDMEMBER',
    'HRANDFIELD',
    'ZRANDMEMBER',
    'VRANDMEMBER',
    'SPOP',
    'TTL',
    'PTTL',
    'HTTL',
    'HPTTL',
    'EXPIRETIME',
    'PEXPIRETIME',
    'HEXPIRETIME',
    'HPEXPIRETIME',
    // A field that has expired lives on where it is not yet taken away.
    'HEXPIREAT',
    'HPEXPIREAT',
  ],
  ...['SCAN', 'SSCAN', 'HSCAN', 'ZSCAN', 'KEYS', 'SMEMBERS', 'SINTER', 'SUNION', 'SDIFF', 'HGETALL', 'HKEYS', 'HVALS'],
  ...[
    'SORT',
    'SORT_RO',
    'GEORADIUS',
    'GEORADIUSBYMEMBER',
    'GEORADIUS_RO',
    'GEORADIUSBYMEMBER_RO',
    'GEOSEARCH',
    'GEOSEARCHSTORE',
    'GEODIST',
    'VADD',
    'VSIM',
    'VINFO',
    'VLINKS',
  ],
  ...['INCRBYFLOAT', 'HINCRBYFLOAT', 'XADD', 'XTRIM', 'XREADGROUP', 'XCLAIM', 'XAUTOCLAIM', 'XPENDING', 'XINFO'],
  ...[
    'INFO',
    'DBSIZE',
    'LASTSAVE',
    'OBJECT',
    'MEMORY',
    'DEBUG',
    'CONFIG',
    'CLIENT',
    'ROLE',
    'SLOWLOG',
    'LATENCY',
    'COMMAND',
  ],
  ...[
    'DUMP',
    'LOLWUT',
    'PUBLISH',
    'SPUBLISH',
    'PUBSUB',
    'ACL',
    'SCRIPT',
    'FUNCTION',
    'WAIT',
    'MODULE',
    'CLUSTER',
    'SELECT',
  ],
])
