import { expect, test } from 'vitest'
import { putRecord } from '../../../src/jobs/files/put-record.ts'
import type { KeyRecord, KeyValue } from '../../../src/jobs/files/values.ts'
import type { JobOptions } from '../../../src/jobs/runner/job.ts'
import type { StoreConnection } from '../../../src/jobs/stores/store-connection.ts'
import { type Reply, SimpleReply } from '../../../src/resp/reply.ts'

const name = Buffer.from('k')
const OK = new SimpleReply('OK')

/** Puts a key where a store answers so, by the name of a command. */
async function put(
  of: KeyValue,
  answers: Readonly<Record<string, Reply>>,
  options: JobOptions = {},
  mayBeOurs = false,
) {
  const asked: string[][] = []
  const connection = {
    ask: async (args: readonly (Buffer | string | number)[]): Promise<Reply> => {
      const words = args.map(String)
      asked.push(words)
      const begun = asked.findLastIndex(([command]) => command === 'MULTI')
      return words[0] === 'EXEC'
        ? asked.slice(begun + 1, -1).map(([command]) => answers[command!]!)
        : (answers[words[0]!] ?? OK)
    },
  } as unknown as StoreConnection
  const record: KeyRecord = { database: 0, key: name, of, expiresAtMs: null }
  const outcome = await putRecord(connection, name, record, options, { counts: true, mayBeOurs })
  return { outcome, asked, commands: asked.map(([command]) => command) }
}

const text: KeyValue = { type: 'string', value: Buffer.from('a') }
const reads = { EXISTS: 0, TYPE: new SimpleReply('string'), PTTL: -1, STRLEN: 1, GET: Buffer.from('a'), RENAMENX: 1 }

test('what comes out otherwise than it was written never gets the name of the key', async () => {
  expect(await put(text, reads)).toMatchObject({ outcome: 'written' })
  const { outcome, asked, commands } = await put(text, { ...reads, GET: Buffer.from('b') })
  expect(outcome).toBe('it was written and reads differently')
  expect(commands).not.toContain('RENAMENX')
  expect(asked.at(-1)).toEqual(['UNLINK', asked.find(([command]) => command === 'SET')![1]])
})

test('what the store has of a key that nobody finishes goes by itself', async () => {
  const { asked } = await put(text, reads)
  const [set, expire] = asked.filter(([, key]) => key?.startsWith('understudy:copy:'))
  expect(set![0]).toBe('SET')
  expect(expire).toEqual(['PEXPIRE', set![1], '600000'])
})

test('a payload that the store takes is in it, whatever bytes it would give for the key now', async () => {
  const { outcome, commands } = await put(
    { type: 'payload', of: 'vectorset', value: Buffer.from('as it was') },
    { EXISTS: 0, DUMP: Buffer.from('as it is now'), TYPE: new SimpleReply('vectorset'), PTTL: -1, RENAMENX: 1 },
  )
  expect(outcome).toBe('written')
  expect(commands).toEqual(['EXISTS', 'RESTORE', 'PEXPIRE', 'PERSIST', 'RENAMENX'])
})

test('a key that is there as it should be is a conflict, unless an earlier run may have written it', async () => {
  const fails: JobOptions = { onConflict: 'fail' }
  const payload: KeyValue = { type: 'payload', of: 'vectorset', value: Buffer.from('as it is') }
  const isPayload = { ...reads, TYPE: new SimpleReply('vectorset'), DUMP: Buffer.from('as it is') }
  for (const there of [{ EXISTS: 1 }, { EXISTS: 0, RENAMENX: 0 }]) {
    expect(await put(text, { ...reads, ...there }, fails)).toMatchObject({ outcome: 'it is there already' })
    expect(await put(text, { ...reads, ...there }, fails, true)).toMatchObject({ outcome: 'there' })
    expect(await put(payload, { ...isPayload, ...there }, fails, true)).toMatchObject({ outcome: 'there' })
  }
  for (const [of, other] of [
    [text, { ...reads, GET: Buffer.from('b') }],
    [text, { ...reads, PTTL: 60_000 }],
    [payload, { ...isPayload, DUMP: Buffer.from('as it was') }],
  ] as const)
    expect(await put(of, { ...other, EXISTS: 1 }, fails, true)).toMatchObject({ outcome: 'it is there already' })
})
