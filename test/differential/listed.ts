import { CommandTable } from '../../src/command/table.ts'
import { decodeReply } from '../../src/resp/decode.ts'
import { RawClient } from '../support/raw-client.ts'
import type { RedisServer } from '../support/redis.ts'

/** The table, and the names of what the server lists. */
export async function listedBy(server: RedisServer): Promise<[CommandTable, Set<string>]> {
  const client = await RawClient.open(server.port)
  client.command('COMMAND')
  const frame = await client.next()
  client.command('COMMAND', 'LIST')
  const list = await client.next()
  client.destroy()
  const names = decodeReply(list, 0, list.length) as Buffer[]
  const table = CommandTable.fromServer(decodeReply(frame, 0, frame.length), CommandTable.builtin())
  return [table, new Set(names.map((name) => name.toString().toUpperCase().replace('|', ' ')).sort())]
}
