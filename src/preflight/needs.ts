/** A right that Understudy needs at a store for what it does on its own, and a command that shows whether it has it and changes nothing. */
export interface Need {
  /** As ACLs name it. */
  readonly command: string
  /** `key`: the name of a key that is not there. */
  readonly probe: (key: string) => readonly string[]
  /** What follows from its lack. */
  readonly without: string
  /** Without it the migration cannot be carried out. */
  readonly vital: boolean
  /** Of a server that does not know it nothing is missing. */
  readonly younger?: boolean
}

const NOBODY = '9223372036854775807'
const MIRROR = 'nothing can be mirrored or copied there'
const BY_TYPE = 'keys are copied by commands of their types, which is slower'
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
]

/** Of both ends of a route that has a target: each is mirrored to in some phase, and jobs read both. */
export const NEEDS_OF_ENDS: readonly Need[] = [
  // XX: only where there is such a key, and there is none.
  { command: 'SET', probe: (key) => ['SET', key, '', 'XX'], without: MIRROR, vital: true },
  { command: 'UNLINK', probe: (key) => ['UNLINK', key], without: MIRROR, vital: true },
  { command: 'PEXPIREAT', probe: (key) => ['PEXPIREAT', key, NOBODY], without: MIRROR, vital: true },
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
    younger: true,
  },
  {
    command: 'MEMORY',
    probe: (key) => ['MEMORY', 'USAGE', key],
    without: 'large keys are not known before they are copied, and hold up others behind them',
    vital: false,
  },
  { command: 'CLIENT LIST', probe: () => ['CLIENT', 'LIST', 'ID', NOBODY], without: LEFT_BEHIND, vital: false },
  { command: 'CLIENT KILL', probe: () => ['CLIENT', 'KILL', 'ID', NOBODY], without: LEFT_BEHIND, vital: false },
  {
    command: 'CLIENT UNBLOCK',
    probe: () => ['CLIENT', 'UNBLOCK', NOBODY],
    without: 'clients that block while a route is switched are told that their command may have been executed',
    vital: false,
  },
]
