import { expect, test } from 'vitest'
import { serverMark } from '../../src/base/server-mark.ts'

const info = (changes: Record<string, string> = {}): string =>
  Object.entries({ redis_version: '7.0.15', process_id: '1', run_id: 'a1'.repeat(20), tcp_port: '6379', ...changes })
    .map(([name, value]) => `${name}:${value}\r\n`)
    .join('')

test('one process is the same whenever and wherever it is asked', () => {
  expect(serverMark(info({ uptime_in_seconds: '1' }))).toBe(
    serverMark(`# Server\r\n${info({ uptime_in_seconds: '9' })}`),
  )
})

test.each([{ run_id: 'b2'.repeat(20) }, { process_id: '7' }, { tcp_port: '6380' }, { redis_version: '8.0.0' }])(
  'one that says %j is another',
  (changes) => expect(serverMark(info(changes))).not.toBe(serverMark(info())),
)

test.each(['', '0'.repeat(40)])('a run_id that is %j tells nothing', (id) => {
  expect(serverMark(info({ run_id: id }))).toBeNull()
})
