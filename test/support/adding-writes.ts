export type Words = readonly [string, ...(string | number)[]]

/** How a key begins; and a write that adds to it, or makes it anew where it is gone, with the same answer. */
export const ADDING: Readonly<Record<string, readonly [Words, Words]>> = {
  'set:a': [
    ['SADD', 'set:a', 'x'],
    ['SADD', 'set:a', 'y'],
  ],
  'set:moved': [
    ['SADD', 'set:moved', 'x'],
    ['SMOVE', 'set:other', 'set:moved', 'moved'],
  ],
  'hash:a': [
    ['HSET', 'hash:a', 'x', 1],
    ['HSET', 'hash:a', 'y', 1],
  ],
  'hash:b': [
    ['HSET', 'hash:b', 'x', 1],
    ['HMSET', 'hash:b', 'y', 1],
  ],
  'hash:c': [
    ['HSET', 'hash:c', 'x', 1],
    ['HINCRBY', 'hash:c', 'y', 3],
  ],
  'hash:d': [
    ['HSET', 'hash:d', 'x', 1],
    ['HINCRBYFLOAT', 'hash:d', 'y', '1.5'],
  ],
  'hash:e': [
    ['HSET', 'hash:e', 'x', 1],
    ['HSETNX', 'hash:e', 'y', 1],
  ],
  'zset:a': [
    ['ZADD', 'zset:a', 1, 'x'],
    ['ZADD', 'zset:a', 1, 'y'],
  ],
  'zset:b': [
    ['ZADD', 'zset:b', 1, 'x'],
    ['ZINCRBY', 'zset:b', 1, 'y'],
  ],
  'zset:geo': [
    ['GEOADD', 'zset:geo', 1, 1, 'x'],
    ['GEOADD', 'zset:geo', 1, 1, 'y'],
  ],
  'string:a': [
    ['SET', 'string:a', 'x'],
    ['SET', 'string:a', 'y', 'KEEPTTL'],
  ],
  'string:b': [
    ['SET', 'string:b', 1],
    ['INCRBYFLOAT', 'string:b', '1.5'],
  ],
  'string:bits': [
    ['SETBIT', 'string:bits', 1, 1],
    ['SETBIT', 'string:bits', 9, 1],
  ],
  'string:range': [
    ['SETRANGE', 'string:range', 0, 'abc'],
    ['SETRANGE', 'string:range', 5, 'x'],
  ],
  'string:fields': [
    ['BITFIELD', 'string:fields', 'SET', 'u8', 0, 7],
    ['BITFIELD', 'string:fields', 'SET', 'u8', 8, 7],
  ],
  'log:count': [
    ['PFADD', 'log:count', 'x'],
    ['PFADD', 'log:count', 'y'],
  ],
  'stream:a': [
    ['XADD', 'stream:a', '*', 'f', 'x'],
    ['XADD', 'stream:a', '*', 'f', 'y'],
  ],
  'stream:empty': [
    ['XADD', 'stream:empty', '*', 'f', 'x'],
    ['XADD', 'stream:empty', 'MAXLEN', 0, '*', 'f', 'y'],
  ],
  'stream:past': [
    ['XADD', 'stream:past', '1-1', 'f', 'x'],
    ['XADD', 'stream:past', 'MINID', '9-9', '2-2', 'f', 'y'],
  ],
  'string:empty': [
    ['SET', 'string:empty', 'x'],
    ['SET', 'string:empty', '', 'KEEPTTL'],
  ],
  'string:emptied': [
    ['SET', 'string:emptied', 'x'],
    ['SET', 'string:emptied', '', 'XX', 'GET', 'KEEPTTL'],
  ],
  'list:a': [
    ['RPUSH', 'list:a', 'x'],
    ['RPOPLPUSH', 'list:other', 'list:a'],
  ],
  'list:b': [
    ['RPUSH', 'list:b', 'x'],
    ['RPUSH', 'list:b', 'y'],
  ],
  'count:a': [
    ['SET', 'count:a', 5],
    ['INCR', 'count:a'],
  ],
}
