/**
 * How the two answers to one read are compared.
 *
 * | kind          | equal means                                                                          |
 * |---------------|--------------------------------------------------------------------------------------|
 * | `ordered`     | the same values in the same order                                                    |
 * | `unordered`   | the same members                                                                     |
 * | `map`         | the same value for each field                                                        |
 * | `scores`      | in the same order, numbers where the reply has scores, distances, coordinates        |
 * | `ttl`         | the same time, within the route's tolerance                                          |
 * | `approximate` | the same but for numbers that measure time passed (idle)                             |
 * | `script`      | the same values in any order; a difference counts only where a declared key differs  |
 * | `skipped`     | never compared: `reason` says why                                                    |
 */
export type CompareClass =
  | { readonly kind: 'ordered' | 'unordered' | 'map' | 'scores' | 'approximate' | 'script' }
  /** `unitMs`: of the number in the reply. `absolute`: it is a point in time, not a distance from now. */
  | { readonly kind: 'ttl'; readonly unitMs: 1 | 1000; readonly absolute: boolean }
  | { readonly kind: 'skipped'; readonly reason: string }

function skipped(reason: string): CompareClass {
  return { kind: 'skipped', reason }
}

const ORDERED: CompareClass = { kind: 'ordered' }
const UNORDERED: CompareClass = { kind: 'unordered' }
const MAP: CompareClass = { kind: 'map' }
const SCORES: CompareClass = { kind: 'scores' }
const APPROXIMATE: CompareClass = { kind: 'approximate' }
const CURSOR = skipped('a cursor belongs to the store that gave it')
const RANDOM = skipped('its answer is random')
const SERVER_FACT = skipped('it tells of the server, not of the data')
const SCRIPT: CompareClass = { kind: 'script' }
const VECTOR_GRAPH = skipped('it tells of a graph that each server builds at random')
const WHOLE_KEYSPACE = skipped('it is about the whole keyspace, not about a key of a route')
const UNKNOWN = skipped('how its answers compare is not known')

const CLASSES: Readonly<Record<string, CompareClass>> = {
  ...each(
    ORDERED,
    'GET MGET GETRANGE SUBSTR STRLEN LCS DIGEST GETBIT BITCOUNT BITPOS BITFIELD_RO EXISTS TYPE',
    'HGET HMGET HEXISTS HLEN HSTRLEN LINDEX LLEN LPOS LRANGE SORT_RO',
    'SCARD SISMEMBER SMISMEMBER SINTERCARD SUNIONCARD SDIFFCARD',
    'ZCARD ZCOUNT ZLEXCOUNT ZRANGEBYLEX ZREVRANGEBYLEX ZINTERCARD GEOHASH',
    'XLEN XRANGE XREVRANGE XREAD',
    'VCARD VDIM VISMEMBER VGETATTR VRANGE',
    'ARCOUNT ARGET ARGETRANGE ARGREP ARLASTITEMS ARLEN ARMGET ARNEXT AROP',
    'JSON.GET JSON.MGET JSON.TYPE JSON.STRLEN JSON.ARRLEN JSON.ARRINDEX JSON.OBJLEN JSON.OBJKEYS',
  ),
  ...each(UNORDERED, 'SMEMBERS SINTER SUNION SDIFF HKEYS HVALS'),
  ...each(MAP, 'HGETALL'),
  ...each(
    SCORES,
    'ZSCORE ZMSCORE ZRANK ZREVRANK ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE ZUNION ZINTER ZDIFF',
    'GEODIST GEOPOS GEOSEARCH GEORADIUS_RO GEORADIUSBYMEMBER_RO',
  ),
  ...each({ kind: 'ttl', unitMs: 1000, absolute: false }, 'TTL HTTL'),
  ...each({ kind: 'ttl', unitMs: 1, absolute: false }, 'PTTL HPTTL'),
  ...each({ kind: 'ttl', unitMs: 1000, absolute: true }, 'EXPIRETIME HEXPIRETIME'),
  ...each({ kind: 'ttl', unitMs: 1, absolute: true }, 'PEXPIRETIME HPEXPIRETIME'),
  ...each(APPROXIMATE, 'XPENDING'),
  ...each(CURSOR, 'SCAN HSCAN SSCAN ZSCAN ARSCAN'),
  ...each(RANDOM, 'RANDOMKEY SRANDMEMBER HRANDFIELD ZRANDMEMBER VRANDMEMBER LOLWUT'),
  ...each(WHOLE_KEYSPACE, 'KEYS DBSIZE'),
  ...each(SCRIPT, 'EVAL_RO EVALSHA_RO FCALL_RO'),
  ...each(VECTOR_GRAPH, 'VLINKS VINFO VSIM VEMB'),
  ...each(SERVER_FACT, 'ARINFO'),
  TOUCH: skipped('it changes what the server evicts next'),
  DUMP: skipped('its payload differs by server version and encoding'),
}

/** Containers whose reading subcommands all tell how a server holds a key. */
const SERVER_FACT_CONTAINERS: readonly string[] = ['OBJECT', 'MEMORY', 'XINFO']

/** The class of a reading command by its upper-case name. */
export function compareClassOf(name: string): CompareClass {
  const known = CLASSES[name]
  if (known !== undefined) return known
  const space = name.indexOf(' ')
  return space !== -1 && SERVER_FACT_CONTAINERS.includes(name.slice(0, space)) ? SERVER_FACT : UNKNOWN
}

function each(compare: CompareClass, ...names: readonly string[]): Record<string, CompareClass> {
  return Object.fromEntries(names.flatMap((line) => line.split(' ')).map((name) => [name, compare]))
}
