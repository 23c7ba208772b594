/**
 * Commands as an application sends them, one after the other on one connection: what they answer depends on what came before. Keys begin with `job:`, and every
 * command of the server is among them or in `LEFT_OUT`.
 */
export const CORPUS: readonly (readonly string[])[] = `
SET job:s v|GET job:s|SET job:s w GET|SET job:s x NX|SET job:s x XX KEEPTTL|SETNX job:s y|SETNX job:n y|SETEX job:e 100000 v|PSETEX job:p 100000000 v
GETSET job:s z|GETDEL job:n|GETEX job:s PXAT 4000000000000|PEXPIRETIME job:s|EXPIRETIME job:s|PERSIST job:s|TTL job:s|PTTL job:s|TTL job:e
STRLEN job:s|APPEND job:s abc|GETRANGE job:s 0 1|SUBSTR job:s 0 1|SETRANGE job:s 1 Q|LCS job:s job:e|LCS job:s job:e IDX
INCR job:i|INCRBY job:i 5|DECR job:i|DECRBY job:i 2|INCRBYFLOAT job:f 1.5|INCR job:s|MSET job:a 1 job:b 2 other 3|MGET job:a job:b other job:none
MSETNX job:a 1 job:c 2|MSETNX job:c 1 job:d 2|EXISTS job:a job:b job:none|TOUCH job:a job:none|TYPE job:a|TYPE job:none|DUMP job:a
COPY job:a job:a2|COPY job:a job:a2 REPLACE|RENAME job:a2 job:a3|RENAME job:none job:x|RENAMENX job:a3 job:b|RENAMENX job:a3 job:a4|DEL job:a4 job:none|UNLINK job:d
EXPIRE job:b 100000 NX|EXPIRE job:b 10 GT LT|PEXPIRE job:b 100000000|EXPIREAT job:b 4000000000|PEXPIREAT job:b 4000000000000 XX|OBJECT ENCODING job:a
OBJECT REFCOUNT job:b|OBJECT IDLETIME job:b|OBJECT FREQ job:b|OBJECT ENCODING job:none|OBJECT HELP|OBJECT NONSENSE job:a|MEMORY USAGE job:b|MEMORY USAGE job:none|MEMORY HELP
SETBIT job:bits 7 1|GETBIT job:bits 7|BITCOUNT job:bits|BITPOS job:bits 1|BITOP NOT job:bits2 job:bits|BITOP OR job:bits3 job:bits job:bits2
BITFIELD job:bits SET u8 0 255 GET u8 0|BITFIELD_RO job:bits GET u8 0|PFADD job:hll a b|PFADD job:hll2 c|PFCOUNT job:hll job:hll2|PFMERGE job:hll3 job:hll job:hll2
RPUSH job:l a b c d e|LPUSH job:l z|LPUSHX job:none z|RPUSHX job:l f|LLEN job:l|LRANGE job:l 0 -1|LINDEX job:l 0|LSET job:l 0 y|LSET job:none 0 y|LINSERT job:l BEFORE a q
LPOS job:l a|LREM job:l 1 q|LTRIM job:l 0 5|LPOP job:l|RPOP job:l 2|LPOP job:none 2|LMOVE job:l job:l2 LEFT RIGHT|RPOPLPUSH job:l job:l2|LMPOP 2 job:none job:l LEFT COUNT 1
LMPOP 1 job:none LEFT|BLPOP job:none job:l2 0|BRPOP job:l2 0|RPUSH job:l a b c|BLMOVE job:l job:l2 LEFT LEFT 0|BRPOPLPUSH job:l job:l2 0|BLMPOP 0 2 job:none job:l2 LEFT
BLPOP job:none 0.01|BLMPOP 0.01 1 job:none LEFT|BLMOVE job:none job:l LEFT LEFT 0.01|BRPOPLPUSH job:none job:l 0.01|RPUSH job:num 3 1 2|SORT job:num|SORT_RO job:num DESC
SET job:w_1 30|SET job:w_2 20|SET job:w_3 10|HSET job:h_1 f one|SORT job:num BY job:w_* GET # GET job:h_*->f|SORT job:num BY nosort STORE job:sorted|LRANGE job:sorted 0 -1
HSET job:h f 1 g 2|HSETNX job:h f 2|HMSET job:h k 3|HGET job:h f|HMGET job:h f none|HGETALL job:h|HKEYS job:h|HVALS job:h|HLEN job:h|HEXISTS job:h f|HSTRLEN job:h f|HDEL job:h k
HINCRBY job:h f 4|HINCRBYFLOAT job:h f 0.5|HSCAN job:h 0|HSET job:h1 only 1|HRANDFIELD job:h1|HRANDFIELD job:h1 1 WITHVALUES|HGETALL job:none
SADD job:set a|SADD job:set2 a b|SCARD job:set|SISMEMBER job:set a|SMISMEMBER job:set a b|SMEMBERS job:set|SINTER job:set job:set2|SINTERCARD 2 job:set job:set2
SINTERSTORE job:set3 job:set job:set2|SUNION job:set job:set3|SUNIONSTORE job:set4 job:set job:set2|SDIFF job:set2 job:set|SDIFFSTORE job:set5 job:set2 job:set|SMOVE job:set2 job:set6 b
SRANDMEMBER job:set|SRANDMEMBER job:set 1|SSCAN job:set 0|SREM job:set none|SPOP job:set|SPOP job:set6 1
ZADD job:z 1 a 2 b 3 c|ZADD job:z XX CH 5 a|ZADD job:z2 1 a|ZCARD job:z|ZSCORE job:z a|ZMSCORE job:z a none|ZINCRBY job:z 1 a|ZRANK job:z b|ZREVRANK job:z b|ZCOUNT job:z 0 9
ZRANGE job:z 0 -1 WITHSCORES|ZRANGEBYSCORE job:z 0 9|ZREVRANGE job:z 0 -1|ZREVRANGEBYSCORE job:z 9 0|ZRANGEBYLEX job:z - +|ZREVRANGEBYLEX job:z + -|ZLEXCOUNT job:z - +
ZRANGESTORE job:z3 job:z 0 1|ZUNION 2 job:z job:z2 WITHSCORES|ZUNIONSTORE job:z4 2 job:z job:z2|ZINTER 2 job:z job:z2|ZINTERSTORE job:z5 2 job:z job:z2|ZINTERCARD 2 job:z job:z2
ZDIFF 2 job:z job:z2|ZDIFFSTORE job:z6 2 job:z job:z2|ZRANDMEMBER job:z2|ZRANDMEMBER job:z2 1 WITHSCORES|ZSCAN job:z2 0|ZPOPMIN job:z4|ZPOPMAX job:z4 1|ZMPOP 2 job:none job:z4 MIN
BZPOPMIN job:none job:z 0|BZPOPMAX job:z 0|BZMPOP 0 2 job:none job:z MAX|BZPOPMIN job:none 0.01|BZPOPMAX job:none 0.01|BZMPOP 0.01 1 job:none MIN|ZADD job:z 1 a 2 b 3 c|ZREM job:z a
ZREMRANGEBYRANK job:z 0 0|ZREMRANGEBYSCORE job:z 9 10|ZREMRANGEBYLEX job:z [x [y
GEOADD job:geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania|GEOPOS job:geo Palermo none|GEODIST job:geo Palermo Catania|GEOHASH job:geo Palermo
GEOSEARCH job:geo FROMMEMBER Palermo BYRADIUS 200 km ASC|GEOSEARCHSTORE job:geo2 job:geo FROMMEMBER Palermo BYRADIUS 200 km|GEORADIUS job:geo 15 37 200 km ASC
GEORADIUS job:geo 15 37 200 km STORE job:geo3|GEORADIUSBYMEMBER job:geo Palermo 200 km ASC|GEORADIUSBYMEMBER job:geo Palermo 200 km STOREDIST job:geo4|GEORADIUS_RO job:geo 15 37 200 km DESC
GEORADIUSBYMEMBER_RO job:geo Palermo 200 km ASC
XADD job:x 1-1 f v|XADD job:x 2-1 f v|XADD job:x2 1-1 f v|XLEN job:x|XRANGE job:x - +|XREVRANGE job:x + -|XREAD STREAMS job:x job:x2 0 0|XREAD COUNT 1 BLOCK 10 STREAMS job:x 0
XREAD BLOCK 10 STREAMS job:x $|XGROUP CREATE job:x g 0|XGROUP CREATE job:x2 g 0|XGROUP CREATE job:none g 0|XGROUP CREATE job:x g 0|XGROUP CREATECONSUMER job:x g c0
XREADGROUP GROUP g c STREAMS job:x job:x2 > >|XREADGROUP GROUP none c STREAMS job:x >|XREADGROUP GROUP none c BLOCK 10 STREAMS job:none >|XREADGROUP GROUP g c BLOCK 10 STREAMS job:x >
XPENDING job:x g|XPENDING job:x none|XPENDING job:none g - + 1|XCLAIM job:x g c2 0 1-1|XCLAIM job:x none c2 0 1-1|XAUTOCLAIM job:x g c3 0 0|XAUTOCLAIM job:x none c3 0 0|XACK job:x g 1-1
XINFO STREAM job:x|XINFO STREAM job:x FULL|XINFO STREAM job:none|XINFO GROUPS job:x|XINFO CONSUMERS job:x g|XINFO CONSUMERS job:x none|XINFO HELP|XGROUP HELP
XGROUP SETID job:x g 0|XGROUP SETID job:x none 0|XGROUP SETID job:none g 0|XGROUP DELCONSUMER job:x g c|XGROUP DELCONSUMER job:x none c|XGROUP DESTROY job:x g|XGROUP DESTROY job:x none
XSETID job:x 3-1|XSETID job:none 1-1|XDEL job:x 1-1|XTRIM job:x MAXLEN 0|XADD job:x 1-1 f v|XADD job:x3 NOMKSTREAM 1-1 f v
EVAL return{redis.call('GET',KEYS[1]),redis.call('INCR',KEYS[2])} 2 job:a job:i|EVAL return{KEYS[1]==ARGV[1]} 1 job:a job:b|EVAL_RO return{redis.call('GET',KEYS[1])} 1 job:a
EVAL return{redis.call('XGROUP','SETID',KEYS[1],'none','0')} 1 job:x|EVAL return{redis.pcall('LPUSH',KEYS[1],'x')} 1 job:a|EVAL return{redis.pcall('XPENDING',KEYS[1],'none')} 1 job:x|EVAL return{redis.call('XREAD','STREAMS',KEYS[1],'0')} 1 job:x|XPENDING job:nul\u0000x none|EVAL return{redis.call('LPUSH',KEYS[1],'x')} 1 job:a
EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 job:a|EVALSHA_RO ffffffffffffffffffffffffffffffffffffffff 1 job:a|SCRIPT LOAD return{redis.call('GET',KEYS[1])}
SCRIPT EXISTS a42059b356c875f0717db19a51f6aaca9ae659ea|FCALL none 1 job:a|FCALL_RO none 1 job:a|SCRIPT HELP|FUNCTION HELP|FUNCTION LIST|SCRIPT FLUSH
KEYS job:geo2|KEYS *:w_2|KEYS step:*|SCAN 0 COUNT 100000 MATCH job:z5 TYPE zset|SCAN 0 COUNT 100000 MATCH step:*|COMMAND GETKEYS MSET job:a 1 job:b 2|COMMAND GETKEYSANDFLAGS SET job:a 1|COMMAND COUNT
COMMAND INFO get|COMMAND DOCS get|COMMAND HELP|WATCH job:a|UNWATCH|MOVE job:a3 9|MOVE job:none 9|RESTORE job:r 0 nonsense
LOLWUT VERSION 1|ECHO job:a|PING job:a|PUBLISH job:ch m|SPUBLISH job:ch m|PUBSUB HELP|WAIT 0 0|TIME x|GET|XGROUP|LPUSH job:s x|INCR job:l|HSET job:s f v|NOSUCH job:a|GET job:a job:b
SMOVE job:s job:set x|ZADD job:z notanumber x|XADD job:x 0-0 f v|CLUSTER HELP|LATENCY HELP|SLOWLOG HELP|MODULE HELP|MODULE LIST|ACL HELP|ACL WHOAMI|CONFIG HELP|CONFIG GET maxmemory-policy
ASKING x|READONLY x|READWRITE x|SELECT x|DEBUG OBJECT job:a|DEBUG OBJECT job:none|DEBUG SDSLEN job:a|DEBUG DIGEST-VALUE job:a job:l job:none|EXEC|DISCARD|MIGRATE 127.0.0.1 1 job:none 0 10|MIGRATE 127.0.0.1 1 job:none 0 10 COPY
DBSIZE x|RANDOMKEY x|BITFIELD job:bits GET x 0|SINTERCARD 0 job:a|LMPOP 0 job:a LEFT|EVAL return 2 job:a|XREAD STREAMS job:x|OBJECT|MEMORY|ZUNION 0 job:a|GEOSEARCH job:geo|SORT job:l2
SORT job:num BY job:w_* LIMIT 0 1 GET job:w_*|SORT_RO job:num BY none:w_* ALPHA|SINTER job:none|SSUBSCRIBE|SUBSCRIBE|PSUBSCRIBE|HELLO x|AUTH a b c|CLIENT NONSENSE|RESET x|MULTI x
`
  .trim()
  .split(/[|\n]/)
  .map((line) => words(line))

/** Commands whose answer is not about keys, is another server's matter, or is different each time; with the reason. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  ...each(
    'the server answers of itself',
    'INFO LASTSAVE ROLE TIME LATENCY MEMORY SLOWLOG ACL CONFIG CLUSTER MODULE COMMAND PUBSUB CLIENT DBSIZE LOLWUT',
  ),
  ...each('it changes the server', 'BGREWRITEAOF BGSAVE SAVE SHUTDOWN FAILOVER REPLICAOF SLAVEOF SCRIPT FUNCTION'),
  ...each('refused while two sides share a server', 'FLUSHALL FLUSHDB SWAPDB'),
  ...each('never passed on', 'SYNC PSYNC REPLCONF PFDEBUG PFSELFTEST'),
  ...each(
    'tested with sessions and subscribers',
    'SUBSCRIBE UNSUBSCRIBE PSUBSCRIBE PUNSUBSCRIBE SSUBSCRIBE SUNSUBSCRIBE MONITOR QUIT',
  ),
  RANDOMKEY: 'random; tested with the keyspace',
  'RESTORE-ASKING': 'for cluster nodes',
}

/** Numbers in their answers measure time, memory or the server. */
export const MEASURING: ReadonlySet<string> = new Set([
  'OBJECT',
  'XINFO',
  'PTTL',
  'DEBUG',
  'XPENDING',
  'MEMORY',
  'PEXPIRETIME',
])

function each(reason: string, names: string): Record<string, string> {
  return Object.fromEntries(names.split(' ').map((name) => [name, reason]))
}

/** `return{...}` holds no spaces, so that a command is split at them. */
function words(line: string): string[] {
  return line.split(' ').filter((word) => word !== '')
}
