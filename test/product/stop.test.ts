import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { startUnderstudy, type UnderstudyProcess } from '../support/understudy.ts'

let redis: RedisServer
let understudy: UnderstudyProcess

afterEach(async () => {
  await understudy?.stop()
  await redis?.stop()
})

test('a part that fails when it is stopped keeps no other from being stopped, and the exit code tells', async () => {
  await startWith(`async () => { throw new Error('planted') }`)
  const client = understudy.client()
  await client.set('k', 'v')
  expect(existsSync(join(understudy.stateDir, 'state.db-wal'))).toBe(true)
  understudy.signal('SIGTERM')
  expect(await understudy.exited).toEqual({ code: 3, signal: null })
  const log = understudy.stdout + understudy.stderr
  expect(log).toMatch(/"part":"jobs".*a part did not stop as it should/)
  // What comes behind it: the state database has been closed, and the intent log is empty.
  expect(existsSync(join(understudy.stateDir, 'state.db-wal'))).toBe(false)
  expect(log).toMatch(/stopped/)
})

test('a second signal ends the process at once, whatever it is stopping', async () => {
  await startWith('() => new Promise(() => {})')
  understudy.signal('SIGTERM')
  await eventually(() => expect(understudy.stdout + understudy.stderr).toContain('stopping:'))
  understudy.signal('SIGINT')
  expect(await understudy.exited).toEqual({ code: 1, signal: null })
})

/** Starts it with another `JobRunner.stop`. */
async function startWith(stop: string): Promise<void> {
  redis = await startRedis()
  const runner = new URL('../../src/jobs/runner.ts', import.meta.url).href
  const patch = `import { JobRunner } from '${runner}'; JobRunner.prototype.stop = ${stop}`
  understudy = await startUnderstudy(
    {
      stores: { only: { url: redis.url } },
      routes: [{ name: 'all', keys: ['*'], source: { store: 'only' }, phase: 'passthrough' }],
    },
    { env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(patch)}` } },
  )
}
