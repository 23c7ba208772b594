import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Command as Program } from 'commander'
import type { Status } from '../src/admin/status.ts'
import { eventually } from '../test/support/eventually.ts'
import { startRedis } from '../test/support/redis.ts'
import { startUnderstudy } from '../test/support/understudy.ts'
import { residentBytes } from './process-usage.ts'

/**
 * Memory and repair of an outage of the shadow: writes many distinct keys while it is down or hangs, then lets it come back.
 *
 *     node benchmark/outage.ts --keys 1000000 --how down
 */
const options = new Program()
  .option('--keys <n>', 'distinct keys to write', Number, 1_000_000)
  .option('--how <kind>', 'down or hangs', 'down')
  .option('--value <bytes>', 'of a value', Number, 64)
  .parse()
  .opts<{ keys: number; how: string; value: number }>()

// What the shadow had must survive its death, as that of a real one does.
const SERVER = { args: ['--enable-debug-command', 'local', '--appendonly', 'yes', '--appendfsync', 'no'] }
const [old, fresh] = await Promise.all([startRedis(SERVER), startRedis(SERVER)])
const understudy = await startUnderstudy({
  stores: { old: { url: old.url }, new: { url: fresh.url } },
  routes: [{ name: 'all', keys: ['*'], source: 'old', target: 'new', phase: 'mirror' }],
})
const megabytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MB`
const all = async () => (await understudy.admin<Status>('/api/v1/status')).body.routes['all']!.mirror
const write = async (keys: number, from: number): Promise<void> => {
  const client = understudy.client()
  const value = 'x'.repeat(options.value)
  for (let i = 0; i < keys; i += 500) {
    const pipeline = client.pipeline()
    for (let j = i; j < Math.min(keys, i + 500); j++) pipeline.set(`some:key:${from + j}`, value)
    await pipeline.exec()
  }
  client.disconnect()
}
/** Round trips of one client that does nothing else, in ms. */
const probe = () => {
  const client = understudy.client()
  const times: number[] = []
  let going = true
  const done = (async () => {
    for (let i = 0; going; i++) {
      const startedMs = performance.now()
      await client.set(`probe:${i % 100}`, i)
      times.push(performance.now() - startedMs)
      await sleep(1)
    }
    client.disconnect()
  })()
  return async () => {
    going = false
    await done
    times.sort((one, other) => one - other)
    const at = (share: number) => times[Math.floor(times.length * share)]!.toFixed(2)
    return `p50 ${at(0.5)} p99 ${at(0.99)} p99.9 ${at(0.999)} max ${times.at(-1)!.toFixed(1)} ms of ${times.length}`
  }
}
try {
  // The heap has its usual size when it has worked for a while.
  await write(200_000, 10_000_000)
  await eventually(async () => {
    if ((await all()).backlog > 0) throw new Error('not mirrored yet')
  })
  let quiet = probe()
  await write(200_000, 10_000_000)
  console.log(`before: latency ${await quiet()}`)
  await sleep(3_000)
  const before = residentBytes(understudy.pid)
  let peak = before
  const watch = setInterval(() => {
    peak = Math.max(peak, residentBytes(understudy.pid))
  }, 50)
  if (options.how === 'down') await fresh.kill9()
  else fresh.pause()
  quiet = probe()
  const startedMs = performance.now()
  await write(options.keys, 0)
  console.log(`written in ${Math.round(performance.now() - startedMs)} ms; latency ${await quiet()}`)
  quiet = probe()
  await sleep(20_000)
  console.log(`20 s later: latency ${await quiet()}`)
  console.log(`memory: ${megabytes(before)} before, ${megabytes(peak)} at most, ${megabytes(peak - before)} extra`)
  console.log(await all())
  if (options.how === 'down') await fresh.restart()
  else fresh.resume()
  quiet = probe()
  const backMs = performance.now()
  await eventually(
    async () => {
      const { backlog, dirtyKeys } = await all()
      if (backlog + dirtyKeys > 0) throw new Error(`still ${backlog} and ${dirtyKeys}`)
    },
    { timeoutMs: 300_000, intervalMs: 100 },
  )
  console.log(`equal after ${Math.round(performance.now() - backMs)} ms; latency ${await quiet()}`)
  clearInterval(watch)
  console.log(`memory: ${megabytes(peak - before)} extra at most, ${megabytes(residentBytes(understudy.pid))} now`)
  const digest = async (port: number) =>
    (await promisify(execFile)('redis-cli', ['-p', `${port}`, 'DEBUG', 'DIGEST'])).stdout.trim()
  console.log(`digests: ${await digest(old.port)} ${await digest(fresh.port)}`)
} finally {
  await understudy.stop()
  await Promise.all([old.stop(), fresh.stop()])
}
