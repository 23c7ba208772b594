import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { EXCEPTIONS, exceptionOf, NEVER_SENT } from './exceptions.ts'
import { type Unit, unitsOf } from './forms.ts'
import { listedBy } from './listed.ts'

let server: RedisServer
let version: string
let units: Unit[]

beforeAll(async () => {
  server = await startRedis()
  const client = server.client()
  version = /redis_version:(\S+)/.exec(await client.info('server'))![1]!
  units = unitsOf(...(await listedBy(server)))
})
afterAll(async () => {
  await server.stop()
})

test('every command that the server lists is sent in some form that was written for it', () => {
  const containers = units.filter(({ name }) => units.some((other) => other.name.startsWith(`${name} `)))
  const without = units.filter((unit) => !containers.includes(unit) && !unit.forms.some(({ written }) => written))
  // The others of a container are alike: the server's answer is that it is no cluster.
  const known = /^(CLUSTER |SHUTDOWN|SYNC|PSYNC|MONITOR|PFSELFTEST)/
  expect(without.map(({ name }) => name).filter((name) => !known.test(name))).toEqual([])
})

test('every exception is one of a form that is sent, and says why', () => {
  const texts = units.flatMap(({ forms }) => forms.map(({ text }) => text))
  const used = new Set(texts.flatMap((text) => [exceptionOf(text, false), exceptionOf(text, true)]))
  expect(EXCEPTIONS.filter((exception) => !used.has(exception)).map(({ form }) => form)).toEqual([])
  for (const { reason } of [...EXCEPTIONS, ...NEVER_SENT]) expect(reason).toMatch(/\w+ \w+/)
})

test('the counts in docs/transparency.md are these', ({ skip }) => {
  const text = readFileSync(new URL('../../docs/transparency.md', import.meta.url), 'utf8').replace(/\s+/g, ' ')
  if (!text.includes(`Redis ${version},`)) skip(`the page counts another version than ${version}`)
  const forms = units.flatMap((unit) => unit.forms)
  const written = forms.filter((form) => form.written).length
  expect(text).toContain(
    `${units.length - 1} commands and subcommands of Redis ${version}, and unknown ones, in ${forms.length} forms: ${written} written by hand`,
  )
  expect(text).toContain(`- ${EXCEPTIONS.length} forms, by how they begin, are compared otherwise`)
  expect(text).toContain(`${NEVER_SENT.length} kinds of forms are not sent`)
})
