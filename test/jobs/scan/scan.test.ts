import { expect, test } from 'vitest'
import { configFromUrls } from '../../../src/config/file/load.ts'
import type { Task } from '../../../src/jobs/runner/task.ts'
import { scan } from '../../../src/jobs/scan/scan.ts'
import type { Page } from '../../../src/jobs/scan/scan-position.ts'
import { StoreConnections } from '../../../src/jobs/stores/store-connection.ts'
import { eventually } from '../../support/eventually.ts'
import { fillStrings } from '../../support/migration.ts'
import { startRedis } from '../../support/redis.ts'

test('a server that was started again between two pages is noticed, although its connection is there again: no key is passed over', async () => {
  const server = await startRedis()
  const { config } = configFromUrls({ env: {}, source: server.url, phase: 'passthrough' })
  const [store] = Object.keys(config.stores)
  const connections = new StoreConnections(
    () => config,
    () => ({ kind: 'tcp', host: server.host, port: server.port }),
  )
  const remarks: string[] = []
  const task = {
    job: { options: {} },
    total: 3000,
    done: 0,
    throttle: null,
    hasBegunAnew: false,
    remark: (text: string) => remarks.push(text),
    wait: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
  }
  try {
    await fillStrings(server, 3000)
    await server.client().save()
    const seen = new Set<string>()
    const see = ({ names }: Page): void => names.forEach((name) => void seen.add(String(name)))
    const pages = scan(task as unknown as Task, connections, config, store!, null)
    for (let i = 0; i < 3; i++) see((await pages.next()).value as Page)
    // The new one lists in another order: what has been seen so far says nothing about it.
    seen.clear()
    await server.restart()
    await eventually(async () => expect(await connections.to(store!, 0).ask(['DBSIZE'])).toBe(3000))
    for await (const page of pages) see(page)
    expect(seen.size).toBe(3000)
    expect(remarks.join()).toMatch(/started again/)
    expect(task.hasBegunAnew).toBe(true)
    // What held the job up is not shown any more.
    expect(task.throttle).toBeNull()
  } finally {
    connections.close()
    await server.stop()
  }
})
