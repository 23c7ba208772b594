import type { CommandSpec } from '../command/spec.ts'
import type { CommandView } from '../resp/command-view.ts'
import { encodeCommand } from '../resp/encode.ts'
import { Glob } from './glob.ts'
import { commonPattern, storePatterns } from './keyspace-patterns.ts'
import type { RouteTable } from './route-table.ts'

/**
 * DBSIZE, RANDOMKEY, FLUSHDB and FLUSHALL inside MULTI, where a store holds more than the application's keys. The server's own would speak of all names there are, or delete them; and there one command has one reply, and
 * nobody else is served. So each is queued as a script that looks for the application's own names, as far as that is bounded:
 *
 *   DBSIZE     their number
 *   RANDOMKEY  the names that may be its own, from which one is picked here
 *   FLUSHDB    what was deleted, as the store names it: [['0', name, ...]]; the client is told OK, and the mirror deletes the same. The number is the database, as clients count them; FLUSHDB's is that of
 *   FLUSHALL   the command
 *
 * A script that finds too much says so, before it has deleted anything.
 */
export function ownKeysInMulti(table: RouteTable, spec: CommandSpec, view: CommandView): Buffer {
  const { store } = table.fallback.primary
  const pattern = commonPattern(storePatterns(EVERY_NAME, table.rules, (rule) => table.isOn(rule, store)))
  switch (spec.name) {
    case 'DBSIZE':
      return encodeCommand(['EVAL', `${table.viewOf(store).script}\n${COUNT}`, 0, pattern])
    case 'RANDOMKEY':
      return encodeCommand(['EVAL', LIST, 0, pattern])
    default: {
      const how = view.argc > 1 ? view.buf.toString('latin1', view.start[1], view.end[1]).toUpperCase() : 'SYNC'
      // Never the server's to judge: what it took for another option would delete the neighbours' keys.
      if (view.argc > 2 || (how !== 'SYNC' && how !== 'ASYNC')) return SYNTAX_ERROR
      const databases = spec.name === 'FLUSHALL' ? String(table.databaseOf(store)) : ''
      const unserved = ` ${[...table.unserved.keys()].join(' ')} `
      return encodeCommand(['EVAL', `${table.viewOf(store).script}\n${FLUSH}`, 0, pattern, databases, unserved])
    }
  }
}

const EVERY_NAME = new Glob(Buffer.from('*'))
/** Names in a database that a script looks through, and those of them that it lists or deletes: for as long as it takes nobody else is served. */
const [MAX_NAMES, MAX_LISTED] = [1_000_000, 100_000]

const TOO_MANY = (what: string): string =>
  `return redis.error_reply('ERR Understudy does not look through more than ${what} inside MULTI. Send it outside of MULTI')`
const LOOK = `if redis.call('DBSIZE')>${MAX_NAMES} then ${TOO_MANY(`${MAX_NAMES} names`)} end
local names=redis.call('KEYS',ARGV[1])`

const COUNT = `${LOOK}
if #names*looked>${MAX_LISTED} then ${TOO_MANY(`${MAX_LISTED} names beside others`)} end
local count=0
for _,name in ipairs(names) do if isOwn(name) then count=count+1 end end
return count`

const LIST = `${LOOK}
if #names>${MAX_LISTED} then ${TOO_MANY(`${MAX_LISTED} names of the application`)} end
return names`

/** `ARGV[2]`: which database is the client's 0, for all of them; empty: the one that the command is in. `ARGV[3]`: numbers that no client can have, each between spaces. */
const FLUSH = `if redis.replicate_commands then redis.replicate_commands() end
local zero=tonumber(ARGV[2])
local databases={zero or ''}
if zero then
  for index in string.gmatch(redis.call('INFO','keyspace'),'db(%d+):') do
    index=tonumber(index)
    if index~=zero and index~=0 and not string.find(ARGV[3],' '..index..' ',1,true) then databases[#databases+1]=index end
  end
end
local found,total={},0
for i,database in ipairs(databases) do
  if zero then redis.call('SELECT',database) end
  if redis.call('DBSIZE')>${MAX_NAMES} then ${TOO_MANY(`${MAX_NAMES} names`)} end
  local names=redis.call('KEYS',ARGV[1])
  if #names>${MAX_LISTED} then ${TOO_MANY(`${MAX_LISTED} keys`)} end
  local own={database==zero and '0' or tostring(database)}
  for _,name in ipairs(names) do if isOwn(name) then own[#own+1]=name end end
  total=total+#own-1
  if total>${MAX_LISTED} then ${TOO_MANY(`${MAX_LISTED} keys`)} end
  found[i]=own
end
for i,database in ipairs(databases) do
  if zero then redis.call('SELECT',database) end
  for from=2,#found[i],1000 do redis.call('UNLINK',unpack(found[i],from,math.min(from+999,#found[i]))) end
end
return found`

const SYNTAX_ERROR = encodeCommand(['EVAL', "return redis.error_reply('ERR syntax error')", 0])
