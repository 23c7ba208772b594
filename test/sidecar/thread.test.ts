import { Worker } from 'node:worker_threads'
import { expect, test, vi } from 'vitest'
import { DataPathThread } from '../../src/sidecar/thread.ts'

test('a thread that was not started is ended without being asked: it may be loading for longer than a stop waits', async () => {
  const asked = vi.spyOn(Worker.prototype, 'postMessage')
  const deaths: Error[] = []
  const thread = new DataPathThread(
    () => {},
    (error) => deaths.push(error),
  )
  await thread.stop(0)
  await expect(thread.stats()).rejects.toThrow('the data path has stopped')
  expect(asked).not.toHaveBeenCalled()
  expect(deaths).toEqual([])
})
