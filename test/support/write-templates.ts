function templates(text: string): string[][] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
}

/**
 * Write commands of every kind, as templates: `$s` a string's key, `$h` a hash's, `$l` a list's, `$t` a set's, `$z` a sorted set's, `$x` a stream's,
 * `$p` a HyperLogLog's, `$g` a geo set's, `$k` any key; `%v` a value, `%n` a small number, `%f` a field or member, `%i` an entry's id, `%g` a group's name,
 * `%a` a time to come, absolute in ms.
 */
export const WRITES = templates(`
SET $s %v
SET $s %v
SET $s %v EX 1%n00
SET $s %v PX 1%n0000
SET $s %v PXAT %a
SET $s %v NX
SET $s %v XX
SET $s %v KEEPTTL
SET $s %v GET
SETEX $s 1%n00 %v
SETNX $s %v
GETSET $s %v
GETDEL $s
GETEX $s PXAT %a
GETEX $s PERSIST
MSET $s %v $s %v $s %v
MSETNX $s %v $s %v
APPEND $s %v
SETRANGE $s %n %v
INCR $c
DECRBY $c %n
INCRBYFLOAT $c 0.5
SETBIT $b %n 1
BITFIELD $b SET u8 0 %n INCRBY u4 0 1
BITOP OR $b $b $b
PFADD $p %f %f %v
PFMERGE $p $p $p
PFCOUNT $p
HSET $h %f %v %f %v
HSETNX $h %f %v
HMSET $h %f %v
HDEL $h %f %f
HINCRBY $h n%n %n
HINCRBYFLOAT $h n%n 1.25
LPUSH $l %v %v
RPUSH $l %v
LPUSHX $l %v
LINSERT $l BEFORE %f %v
RPUSH $l %f
LSET $l %n %v
LREM $l 1 %f
LTRIM $l 0 20
LPOP $l
RPOP $l
RPOP $l %n
LMOVE $l $l LEFT RIGHT
RPOPLPUSH $l $l
LMPOP 2 $l $l LEFT COUNT %n
SADD $t %f %f %f
SREM $t %f
SPOP $t
SPOP $t %n
SMOVE $t $t %f
SINTERSTORE $t $t $t
SUNIONSTORE $t $t $t
SDIFFSTORE $t $t $t
ZADD $z %n %f %n %f
ZADD $z NX CH %n %f
ZADD $z GT INCR %n %f
ZINCRBY $z 1.5 %f
ZREM $z %f
ZPOPMIN $z
ZPOPMAX $z %n
ZMPOP 2 $z $z MAX COUNT 2
ZREMRANGEBYRANK $z 0 %n
ZREMRANGEBYSCORE $z 0 %n
ZRANGESTORE $z $z 0 5
ZUNIONSTORE $z 2 $z $z WEIGHTS 2 1
ZINTERSTORE $z 2 $z $z
XADD $x * %f %v
XADD $x * %f %v
XADD $x MAXLEN ~ 20 * %f %v
XADD $x MAXLEN 10 * %f %v
XTRIM $x MAXLEN ~ 5
XDEL $x %i
XGROUP CREATE $x %g 0 MKSTREAM
XGROUP CREATE $x %g $ MKSTREAM
XREADGROUP GROUP %g c%n COUNT 2 STREAMS $x >
XREADGROUP GROUP %g c%n COUNT 2 STREAMS $x 0
XACK $x %g %i
XCLAIM $x %g c%n 0 %i
XAUTOCLAIM $x %g c%n 0 0 COUNT 2
XGROUP DELCONSUMER $x %g c%n
DECR $c
INCRBY $c %n
PSETEX $s 1%n0000 %v
EXPIREAT $k 4000000000
RPUSHX $l %v
ZDIFFSTORE $z 2 $z $z
ZREMRANGEBYLEX $z [f0 [f2
GEOADD $g 13.3 38.1 %f 15.08 37.5 %f
GEOSEARCHSTORE $z $g FROMLONLAT 15 37 BYRADIUS 400 km
GEORADIUS $g 15 37 400 km STORE $z
GEORADIUSBYMEMBER $g %f 300 km STOREDIST $z
PFDEBUG TODENSE $p
RESTORE $s 0 %PAYLOAD REPLACE
RESTORE $s %a %PAYLOAD REPLACE ABSTTL
RESTORE-ASKING $s 1%n0000 %PAYLOAD REPLACE
MIGRATE 127.0.0.1 1 $k 0 10
MOVE $k 1
COPY $s $s DB 1 REPLACE
XADD $x NOMKSTREAM %a-* %f %v
XTRIM $x MINID ~ %i LIMIT 10
XSETID $x %i
XGROUP CREATECONSUMER $x %g c%n
XGROUP DESTROY $x %g
XGROUP SETID $x %g 0
XREADGROUP GROUP %g c%n COUNT 2 NOACK STREAMS $x >
FUNCTION LOAD REPLACE %LIBRARY
FUNCTION RESTORE %FUNCTIONS REPLACE
FCALL add 1 $c %n
FCALL add 1 $c %n
EVAL redis.call('set',KEYS[1],ARGV[1])return{redis.call('get',KEYS[1]),KEYS[2]} 2 $s $s %v
DEL $k
UNLINK $k $k
EXPIRE $k 1%n00
PEXPIRE $k 1%n0000
PEXPIRE $k 1%n0000 NX
PEXPIREAT $k %a
PEXPIREAT $k %a GT
EXPIRE $k -1
PERSIST $k
RENAME $s $s
RENAMENX $l $l
COPY $h $h REPLACE
SORT $l ALPHA LIMIT 0 5 STORE $l
EVAL redis.call('incr',KEYS[1])redis.call('append',KEYS[2],ARGV[1]) 2 $c $s %v
EVAL redis.call('rpush',KEYS[1],ARGV[1])return{redis.call('llen',KEYS[1])} 1 $l %v
EVAL redis.call('time')redis.call('incr',KEYS[1])redis.call('append',KEYS[2],ARGV[1]) 2 $c $s %v
EVAL redis.call('set',KEYS[1],redis.call('time')[2]) 1 $s
EVAL redis.call('set',KEYS[1],1)return{err='half-way'} 1 $s
GET $s
HGETALL $h
LRANGE $l 0 -1
`)

/** Reads of every kind that can be compared. */
export const READS = templates(`
GET $s
GET $c
MGET $s $s $s
STRLEN $s
GETRANGE $s 0 3
BITCOUNT $b
EXISTS $k $k
TYPE $k
TTL $k
PTTL $s
PEXPIRETIME $s
HGETALL $h
HGET $h %f
HMGET $h %f %f
HLEN $h
HKEYS $h
LRANGE $l 0 -1
LLEN $l
LINDEX $l %n
SMEMBERS $t
SCARD $t
SISMEMBER $t %f
SINTER $t $t
SUNION $t $t
ZRANGE $z 0 -1 WITHSCORES
ZSCORE $z %f
ZCARD $z
ZRANGEBYSCORE $z 0 %n
XLEN $x
XRANGE $x - +
XREVRANGE $x + - COUNT 2
`)

/** Of fields with a time of their own, from Redis 7.4 and Valkey 9.0 on; and what came later, which servers without it refuse. */
export const FIELD_TIMES = templates(`
HEXPIRE $h 1%n00 FIELDS 2 %f %f
HPEXPIRE $h 1%n0000 NX FIELDS 1 %f
HEXPIREAT $h 4000000000 FIELDS 1 %f
HPEXPIREAT $h %a GT FIELDS 2 %f n%n
HPEXPIREAT $h 5 FIELDS 1 %f
HPERSIST $h FIELDS 1 %f
HGETEX $h PXAT %a FIELDS 2 %f %f
HGETEX $h PERSIST FIELDS 1 %f
HSETEX $h EX 1%n00 FIELDS 1 %f %v
HSETEX $h FNX PXAT %a FIELDS 1 %f %v
HSETEX $h KEEPTTL FIELDS 1 %f %v
HGETDEL $h FIELDS 1 %f
SET $s %v IFEQ %v
SET $s v1
DELIFEQ $s v1
DELEX $s IFEQ v1
MSETEX 2 $s %v $s %v PX 1%n0000
MSETEX 1 $s %v
XDELEX $x KEEPREF IDS 1 %i
XACKDEL $x %g IDS 1 %i
`)

/** Scripts that write to keys which they do not declare: they need these to have the application's names at the primary. */
export const UNDECLARED = templates(`
EVAL redis.call('append',KEYS[1]..'d',ARGV[1])return(redis.call('incr',ARGV[2])) 1 $s %v $c
EVAL redis.call('set',KEYS[1]..'t',redis.call('time')[2])return(redis.call('lpop',ARGV[1])) 1 $s $l
EVAL redis.call('rpush',ARGV[1],redis.call('get',KEYS[1])or'none') 1 $s $l
EVAL return(redis.call('del',ARGV[1])) 1 $s $k
`)

/** Of whole databases, or of all functions. */
export const EVERYWHERE = templates(`
FLUSHALL
FLUSHDB
SWAPDB 0 1
FUNCTION FLUSH
FUNCTION DELETE model
`)
