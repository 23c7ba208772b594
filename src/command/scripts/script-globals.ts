/** What has to be known of a script's names, Lua's own and those that a server gives it: on what it depends whether the script can be carried out again on another server. Read by `script-analysis.ts`. */

/** The API's name in Redis and in Valkey. */
export const API: ReadonlySet<string> = new Set(['redis', 'server'])
/** Its members that call a command. */
export const CALLS: ReadonlySet<string> = new Set(['call', 'pcall'])
/** Its members that do nothing to a key. */
export const HARMLESS: ReadonlySet<string> = new Set([
  'error_reply',
  'status_reply',
  'sha1hex',
  'log',
  'setresp',
  'replicate_commands',
  'register_function',
])
/** They walk a table in no order. */
export const UNORDERED: ReadonlySet<string> = new Set(['pairs', 'next'])
/** Behind these an error does not end the script: what only one server refuses (out of memory, a right that is missing) need not show in the answer, by which the two are compared. */
export const HIDING: ReadonlySet<string> = new Set(['pcall', 'xpcall'])
/** What they write of a value need not be the same on every server. */
export const ENCODERS: ReadonlySet<string> = new Set(['cjson', 'cmsgpack'])
/** Of the memory and the threads of each server. */
export const OWN: ReadonlySet<string> = new Set(['coroutine', 'collectgarbage', 'gcinfo'])
/** A script that uses one of them may do anything. */
export const OPAQUE: ReadonlySet<string> = new Set([
  'os',
  'load',
  'loadstring',
  'loadfile',
  'dofile',
  'require',
  'getfenv',
  'setfenv',
  '_G',
  'setmetatable',
  'rawset',
  'debug',
  'newproxy',
])
