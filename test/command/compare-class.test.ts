import { afterAll, beforeAll, expect, test } from 'vitest'
import { compareClassOf } from '../../src/command/compare-class.ts'
import { CommandTable } from '../../src/command/table.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { WireClient } from '../support/wire-client.ts'

let server: RedisServer
let table: CommandTable

beforeAll(async () => {
  server = await startRedis()
  const client = await WireClient.open(server.port)
  table = CommandTable.fromServer(await client.call('COMMAND'), CommandTable.builtin())
  client.close()
})

afterAll(() => server.stop())

const UNKNOWN = compareClassOf('NO SUCH COMMAND')

test('every command that reads has a class of its own, from a real server to the newest Redis', () => {
  const reads = [...table.all()].filter((spec) => spec.readonly)
  expect(reads.length).toBeGreaterThan(100)
  expect(reads.filter((spec) => spec.compare === null || spec.compare === UNKNOWN).map((spec) => spec.name)).toEqual([])
})

test('no command that writes is compared', () => {
  expect([...table.all()].filter((spec) => spec.write && spec.compare !== null)).toEqual([])
})

test.each(['RANDOMKEY', 'SRANDMEMBER', 'HRANDFIELD', 'SCAN', 'HSCAN', 'OBJECT ENCODING', 'MEMORY USAGE', 'TOUCH'])(
  '%s is never compared, and it says why',
  (name) => {
    expect(table.byName(name)?.compare).toMatchObject({ kind: 'skipped', reason: expect.stringMatching(/.{10}/) })
  },
)

test("a module's read is not compared until its answers are understood", () => {
  expect(compareClassOf('FT.SEARCH')).toMatchObject({ kind: 'skipped' })
  expect(compareClassOf('JSON.GET')).toMatchObject({ kind: 'ordered' })
})
