/** A right that Understudy needs at a store for what it does on its own, and a command that shows whether it has it and changes nothing. */
export interface Need {
  /** As ACLs name it. */
  readonly command: string
  /** `key`: the name of a key that is not there. */
  readonly probe: (key: string) => readonly string[]
  /**
   * `queued`: executed, the probe would change something: it is sent inside a transaction that is given up, where rights are checked and nothing is executed. `last`: the connection is of no use
   * afterwards. Left out: it changes nothing where it is executed.
   */
  readonly asked?: 'queued' | 'last'
  /** What follows from its lack. */
  readonly without: string
  /** Without it the migration cannot be carried out. */
  readonly vital: boolean
  /** Of a server that does not know it nothing is missing, or what it lacks is told otherwise. */
  readonly mayBeUnknown?: boolean
}

const NOBODY = '9223372036854775807'
const MIRROR = 'nothing can be mirrored or copied there'
const BY_TYPE = 'keys are copied by commands of their types, which is slower'
export const IN_PIECES = 'large keys cannot be copied there, nor files imported'
const OF_TYPES =
  'keys of types that are written by it are neither mirrored nor copied in pieces, where the application has such'
const READ_IN_PIECES =
  'large keys of types that are read by it are neither copied nor compared, where the application has such'
const SCRIPTS =
  'scripts and functions cannot be run again there: keys that they declare are copied after each call, and the application’s own calls are refused where it is the primary'
const LIBRARIES = 'libraries of functions are not brought there'
const CHANNELS = 'what the application publishes or subscribes to does not pass there'
const LEFT_BEHIND =
  'connections that were given up are not ended, and a write that comes late by one of them may overwrite a newer one'

/** Of a store that a route is served from, whatever its phase. */
export const NEEDS_OF_ALL: readonly Need[] = [
  {
    command: 'COMMAND',
    probe: () => ['COMMAND', 'COUNT'],
    without: 'the keys of its commands are found by the built-in table, which knows no modules',
    vital: false,
  },
  {
    command: 'INFO',
    probe: () => ['INFO', 'server'],
    without: 'no job runs there, and neither a restart nor a failover is noticed',
    vital: true,
  },
  {
    command: 'SCRIPT LOAD',
    probe: () => ['SCRIPT', 'LOAD', ''],
    asked: 'queued',
    without:
      'after a restart, a failover or a switch scripts that clients call by SHA-1 inside MULTI are not there; and they are not run again where they are mirrored to: keys that they declare are copied after each call',
    vital: false,
  },
]

/** Of both ends of a route that has a target: each is mirrored to in some phase, and jobs read both. */
export const NEEDS_OF_ENDS: readonly Need[] = [
  // XX: only where there is such a key, and there is none.
  { command: 'SET', probe: (key) => ['SET', key, '', 'XX'], without: MIRROR, vital: true },
  { command: 'UNLINK', probe: (key) => ['UNLINK', key], without: MIRROR, vital: true },
  { command: 'PEXPIREAT', probe: (key) => ['PEXPIREAT', key, NOBODY], without: MIRROR, vital: true },
  // Before MULTI: there is nothing to be executed.
  { command: 'EXEC', probe: () => ['EXEC'], without: MIRROR, vital: true },
  { command: 'MULTI', probe: () => ['MULTI'], without: MIRROR, vital: true },
  { command: 'DISCARD', probe: () => ['DISCARD'], without: MIRROR, vital: true },
  { command: 'SCAN', probe: () => ['SCAN', '0', 'COUNT', '1'], without: 'no job can list its keys', vital: true },
  { command: 'TYPE', probe: (key) => ['TYPE', key], without: MIRROR, vital: true },
  { command: 'PTTL', probe: (key) => ['PTTL', key], without: MIRROR, vital: true },
  { command: 'DUMP', probe: (key) => ['DUMP', key], without: BY_TYPE, vital: false },
  // What is no payload is refused before anything is written.
  { command: 'RESTORE', probe: (key) => ['RESTORE', key, '0', 'none'], without: BY_TYPE, vital: false },
  {
    command: 'HPEXPIRETIME',
    probe: (key) => ['HPEXPIRETIME', key, 'FIELDS', '1', 'f'],
    without: 'hashes are not copied where payloads are refused, nor compared field by field',
    vital: false,
    mayBeUnknown: true,
  },
  { command: 'RENAME', probe: (key) => ['RENAME', key, key], asked: 'queued', without: IN_PIECES, vital: true },
  { command: 'PEXPIRE', probe: (key) => ['PEXPIRE', key, '1'], asked: 'queued', without: IN_PIECES, vital: true },
  { command: 'PERSIST', probe: (key) => ['PERSIST', key], asked: 'queued', without: IN_PIECES, vital: true },
  ...Object.entries({
    APPEND: [''],
    RPUSH: [''],
    SADD: [''],
    HSET: ['', ''],
    ZADD: ['0', ''],
    XADD: ['*', '', ''],
  }).map(([command, rest]): Need => {
    return {
      command,
      probe: (key) => [command, key, ...rest],
      asked: 'queued',
      without: OF_TYPES,
      vital: false,
      mayBeUnknown: true,
    }
  }),
  ...Object.entries({
    GETRANGE: ['0', '0'],
    LRANGE: ['0', '0'],
    SSCAN: ['0'],
    HSCAN: ['0'],
    ZSCAN: ['0'],
    XRANGE: ['-', '+', 'COUNT', '1'],
  }).map(([command, rest]): Need => {
    return {
      command,
      probe: (key) => [command, key, ...rest],
      without: READ_IN_PIECES,
      vital: false,
      mayBeUnknown: true,
    }
  }),
  { command: 'EVAL', probe: () => ['EVAL', '', '0'], asked: 'queued', without: SCRIPTS, vital: false },
  { command: 'EVALSHA', probe: () => ['EVALSHA', '', '0'], asked: 'queued', without: SCRIPTS, vital: false },
  {
    command: 'FCALL',
    probe: () => ['FCALL', '', '0'],
    asked: 'queued',
    without: SCRIPTS,
    vital: false,
    mayBeUnknown: true,
  },
  {
    command: 'FUNCTION LIST',
    probe: (key) => ['FUNCTION', 'LIST', 'LIBRARYNAME', key],
    without:
      'what functions do cannot be read: their calls are refused where keys have other names, else copied after and reported',
    vital: false,
    mayBeUnknown: true,
  },
  {
    command: 'FUNCTION LOAD',
    probe: () => ['FUNCTION', 'LOAD', ''],
    asked: 'queued',
    without: LIBRARIES,
    vital: false,
    mayBeUnknown: true,
  },
  {
    command: 'FUNCTION DELETE',
    probe: () => ['FUNCTION', 'DELETE', ''],
    asked: 'queued',
    without: LIBRARIES,
    vital: false,
    mayBeUnknown: true,
  },
  {
    command: 'CLIENT TRACKING',
    probe: () => ['CLIENT', 'TRACKING', 'OFF'],
    without: 'keys that scripts write without declaring them are not told, so that such scripts ask for a verify',
    vital: false,
    mayBeUnknown: true,
  },
  { command: 'PUBLISH', probe: (key) => ['PUBLISH', key, ''], asked: 'queued', without: CHANNELS, vital: false },
  { command: 'SUBSCRIBE', probe: (key) => ['SUBSCRIBE', key], asked: 'last', without: CHANNELS, vital: false },
  {
    command: 'MEMORY USAGE',
    probe: (key) => ['MEMORY', 'USAGE', key],
    without: 'large keys are not known before they are copied, and hold up others behind them',
    vital: false,
  },
  { command: 'CLIENT INFO', probe: () => ['CLIENT', 'INFO'], without: LEFT_BEHIND, vital: false },
  { command: 'CLIENT LIST', probe: () => ['CLIENT', 'LIST', 'ID', NOBODY], without: LEFT_BEHIND, vital: false },
  { command: 'CLIENT KILL', probe: () => ['CLIENT', 'KILL', 'ID', NOBODY], without: LEFT_BEHIND, vital: false },
  {
    command: 'CLIENT UNBLOCK',
    probe: () => ['CLIENT', 'UNBLOCK', NOBODY],
    without: 'clients that block while a route is switched are told that their command may have been executed',
    vital: false,
  },
]

/** Of such ends that have several databases. */
export const NEEDS_OF_DATABASES: readonly Need[] = [
  {
    command: 'SELECT',
    // There is none of that number: the connection stays where it is.
    probe: () => ['SELECT', '-1'],
    without: 'keys in databases other than the one in its URL are reached by nobody',
    vital: false,
  },
]
