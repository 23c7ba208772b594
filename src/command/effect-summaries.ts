import { effectRuleOf } from './effect-table.ts'

const ABSOLUTE = 'with the absolute time'
const COPIED = 'its key is copied'
const POPPED = 'the pop that happened, without blocking; nothing on nil'

/** What becomes of a write whose effect is computed, in words: for `explain` and the reference. */
const COMPUTED: Readonly<Record<string, string>> = {
  SET: `\`SET\` without its condition, ${ABSOLUTE}, if it was set`,
  SETEX: `\`SET\` ${ABSOLUTE}`,
  PSETEX: `\`SET\` ${ABSOLUTE}`,
  SETNX: '`SET`, if it was set',
  GETSET: '`SET`',
  GETDEL: '`DEL`, if there was a value',
  GETEX: '`PEXPIREAT` or `PERSIST`',
  MSETNX: '`MSET`, if it was set',
  MSETEX: 'one `SET` for each key, if they were set',
  DELEX: '`DEL`, if it was deleted',
  DELIFEQ: '`DEL`, if it was deleted',
  INCRBYFLOAT: '`SET` of the result with `KEEPTTL`',
  INCREX: COPIED,
  PFCOUNT: 'as sent where it has one key, whose value keeps the count; nothing for several',
  PFDEBUG: COPIED,
  'CLUSTER FLUSHSLOT': 'nothing: the route needs a verify',
  HSETNX: '`HSET`, if it was set',
  HINCRBYFLOAT:
    '`HSET` of the result; where fields may have times of their own `HSETEX ... KEEPTTL`, behind `HSETNX` where the field may be new, or a state copy',
  HEXPIRE: '`HPEXPIREAT` of the fields that it took effect on; `HDEL` of those it deleted',
  HPEXPIRE: '`HPEXPIREAT` of the fields that it took effect on; `HDEL` of those it deleted',
  HEXPIREAT: '`HPEXPIREAT` of the fields that it took effect on; `HDEL` of those it deleted',
  HPEXPIREAT: '`HPEXPIREAT` of the fields that it took effect on; `HDEL` of those it deleted',
  HPERSIST: '`HPERSIST` of the fields that lost their time',
  HGETDEL: '`HDEL` of the fields that were there',
  HGETEX: '`HPEXPIREAT` or `HPERSIST` of the fields that were there',
  HSETEX: `\`HSETEX\` without its condition, ${ABSOLUTE}, or \`HSET\`, if it was set; with \`KEEPTTL\` \`HSET\`, then the times that the primary says`,
  'HIMPORT SET': COPIED,
  BLPOP: POPPED,
  BRPOP: POPPED,
  LMPOP: 'the pop that happened, from the key in the reply; nothing on nil',
  BLMPOP: POPPED,
  BLMOVE: '`LMOVE`; nothing on nil',
  BRPOPLPUSH: '`RPOPLPUSH`; nothing on nil',
  LMOVEM: 'its keys are copied, if something was moved',
  BLMOVEM: 'its keys are copied, if something was moved',
  SPOP: '`SREM` of the members in the reply',
  BZPOPMIN: POPPED,
  BZPOPMAX: POPPED,
  ZMPOP: 'the pop that happened, from the key in the reply; nothing on nil',
  BZMPOP: POPPED,
  GEOSEARCHSTORE: 'as sent; with `COUNT` or `STOREDIST` its destination is copied; `DEL` of it where nothing was found',
  GEORADIUS: 'nothing, or as `GEOSEARCHSTORE`',
  GEORADIUSBYMEMBER: 'nothing, or as `GEOSEARCHSTORE`',
  VADD: 'as sent; with `REDUCE` its key is copied',
  XADD: '`XADD` with the id in the reply; what an approximate trim took is asked for and trimmed exactly',
  XTRIM: 'as sent; what an approximate trim took is asked for and trimmed exactly',
  XCFGSET: COPIED,
  XIDMPRECORD: COPIED,
  XNACK: COPIED,
  XREADGROUP: '`XCLAIM` of what was delivered, with time and count, and the group’s last id',
  XCLAIM: '`XCLAIM` of what was claimed, with time and count; what turned out to be gone is acknowledged',
  XAUTOCLAIM: '`XCLAIM` of what was claimed, with time and count; what turned out to be gone is acknowledged',
  ARSET: COPIED,
  ARMSET: COPIED,
  ARDEL: COPIED,
  ARDELRANGE: COPIED,
  ARINSERT: COPIED,
  ARRING: COPIED,
  ARSEEK: COPIED,
  EXPIRE: '`PEXPIREAT`, if it took effect; `DEL`, if the time has passed',
  PEXPIRE: '`PEXPIREAT`, if it took effect; `DEL`, if the time has passed',
  EXPIREAT: '`PEXPIREAT`, if it took effect',
  PEXPIREAT: '`PEXPIREAT`, if it took effect',
  RENAMENX: '`RENAME`, if it was renamed',
  COPY: '`COPY REPLACE`, if it was copied; to another database its destination is copied',
  MOVE: 'the key is copied in both databases, if it was moved',
  RESTORE: `\`RESTORE REPLACE\` ${ABSOLUTE}`,
  'RESTORE-ASKING': `\`RESTORE REPLACE\` ${ABSOLUTE}`,
  MIGRATE: 'its keys are copied',
  SORT: 'nothing without `STORE`; as sent, or with `BY` or `GET` of other keys its destination is copied',
  'BLESS SET': COPIED,
  'BLESS CLEAR': COPIED,
  EVAL: 'run again where its source does the same anywhere (under other names: if it only reaches its keys by them; on servers that write numbers in other ways: if it computes none that it writes), else the keys that it declares are copied; others that it writes the primary names, and they are copied',
  EVALSHA: 'as `EVAL`; where the source has not passed by, the keys that it declares are copied',
  FCALL:
    'as `EVAL`, by what the function does alone; run again only where the shadow was sent its library through Understudy',
}

/** What becomes of the write command on the shadow, in words. */
export function effectSummary(name: string): string {
  const rule = effectRuleOf(name)
  switch (rule?.kind) {
    case undefined:
      return 'its keys are copied'
    case 'never':
      return 'nothing: it concerns the server it is sent to only'
    case 'as-sent':
      return 'as sent, when the primary has confirmed it'
    case 'as-sent-if-changed':
      return 'as sent, if the reply says that it changed something'
    case 'compute':
      return COMPUTED[name] ?? 'computed from its reply'
  }
}

/** Commands that are described here, for the test that nothing is forgotten and nothing left over. */
export function describedCommands(): string[] {
  return Object.keys(COMPUTED)
}
