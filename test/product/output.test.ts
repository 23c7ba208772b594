import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { end } from '../support/child.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/ports.ts'
import { startRedis } from '../support/redis.ts'

const PROGRAM = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const FULL = '/dev/full'

test.skipIf(!existsSync(FULL)).each(['a full disk', 'nobody who reads'])(
  'serves with %s behind its standard output',
  async (where) => {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-output-'))
    const [port, adminPort, store] = [await freePort(), await freePort(), await startRedis()]
    const config = join(folder, 'understudy.yaml')
    writeFileSync(
      config,
      JSON.stringify({
        listen: [`redis://127.0.0.1:${port}`],
        admin: `http://127.0.0.1:${adminPort}`,
        stateDir: join(folder, 'state'),
        stores: { old: `redis://127.0.0.1:${store.port}` },
        routes: [{ name: 'rest', keys: ['*'], source: 'old' }],
      }),
    )
    const full = openSync(FULL, 'w')
    const child = spawn(process.execPath, [PROGRAM, 'serve', '--config', config], {
      stdio: ['ignore', where === 'a full disk' ? full : 'pipe', 'pipe'],
    })
    child.stdout?.destroy()
    let said = ''
    child.stderr!.setEncoding('utf8').on('data', (chunk) => (said += chunk))
    try {
      // It greets as soon as it serves this.
      await eventually(async () => expect((await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status).toBe(200), {
        timeoutMs: 60_000,
        intervalMs: 100,
      })
      child.kill('SIGTERM')
      expect([await once(child, 'exit'), said]).toEqual([[0, null], ''])
    } finally {
      await end(child)
      await store.stop()
      closeSync(full)
      rmSync(folder, { recursive: true })
    }
  },
)

test.skipIf(!existsSync(FULL))('a command whose output a full disk does not take says so, and has failed', async () => {
  const full = openSync(FULL, 'w')
  const child = spawn(process.execPath, [PROGRAM, 'explain', '--help'], { stdio: ['ignore', full, 'pipe'] })
  let said = ''
  child.stderr!.setEncoding('utf8').on('data', (chunk) => (said += chunk))
  expect((await once(child, 'close'))[0]).toBe(3)
  expect(said).toMatch(/^understudy: standard output cannot be written: ENOSPC[^\n]*\n$/)
  closeSync(full)
})
