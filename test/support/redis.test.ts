import { afterEach, describe, expect, test } from 'vitest'
import { eventually } from './eventually.ts'
import { type RedisServer, startRedis } from './redis.ts'

describe('the redis-server of a test', () => {
  const servers: RedisServer[] = []
  const start = async (...args: Parameters<typeof startRedis>) => {
    const server = await startRedis(...args)
    servers.push(server)
    return server
  }
  afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())))

  test('answers, keeps nothing across a crash, and comes back on its port', async () => {
    const server = await start()
    const client = server.client()
    expect(await client.set('k', 'v')).toBe('OK')
    const { port, pid } = server
    await server.restart()
    expect(server.port).toBe(port)
    expect(server.pid).not.toBe(pid)
    expect(await client.get('k')).toBeNull()
  })

  test('is silent while it is paused', async () => {
    const server = await start()
    const client = server.client({ commandTimeout: 100 })
    await client.ping()
    server.pause()
    await expect(client.ping()).rejects.toThrow(/timed out/)
    server.resume()
    await eventually(async () => expect(await client.ping()).toBe('PONG'))
  })

  test('takes arguments that win over the defaults', async () => {
    const server = await start({ args: ['--requirepass', 'sesame', '--appendonly', 'yes'], password: 'sesame' })
    const client = server.client()
    expect(await client.config('GET', 'appendonly')).toEqual(['appendonly', 'yes'])
  })

  test('says at once when it cannot run', async () => {
    await expect(startRedis({ args: ['--no-such-option', '1'] })).rejects.toThrow(/ended at once/)
    await expect(startRedis({ program: 'no-such-program' })).rejects.toThrow(/not in PATH/)
  })
})

describe('eventually', () => {
  test('gives the first value that does not throw', async () => {
    let tries = 0
    expect(await eventually(() => (++tries < 3 ? Promise.reject(new Error('not yet')) : tries))).toBe(3)
  })

  test('throws the last failure when the time is over', async () => {
    const never = () => {
      throw new Error('still not')
    }
    await expect(eventually(never, { timeoutMs: 30 })).rejects.toThrow('still not')
  })
})
