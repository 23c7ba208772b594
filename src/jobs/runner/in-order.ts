import type { JobCount } from './job.ts'
import type { ListedKey } from './job-store.ts'
import type { Task } from './task.ts'

/** What became of a page. Counted, listed and stored together, when all pages before it are. */
export interface PageResult {
  readonly counts: Partial<Readonly<Record<JobCount, number>>>
  readonly keys: readonly ListedKey[]
}

/** A page with what the checkpoint is when it and all before it are done. */
export interface Step<P> {
  readonly page: P
  /** How many keys of SCAN it stands for. */
  readonly scanned: number
  readonly checkpoint: unknown
}

interface Pending {
  readonly scanned: number
  readonly checkpoint: unknown
  readonly result: Promise<PageResult>
  settled: boolean
}

/**
 * Works on pages side by side, at most `limit` of them, and commits them in order: so the checkpoint never says more than is done, whatever the end is. Throws what a page
 * throws, and Interrupted, when everything under way has ended.
 */
export async function inOrder<P>(
  task: Task,
  steps: AsyncIterable<Step<P>>,
  limit: number,
  work: (page: P) => Promise<PageResult>,
): Promise<void> {
  const pending: Pending[] = []
  const commit = async (): Promise<void> => {
    const { scanned, checkpoint, result } = pending[0]!
    const { counts, keys } = await result
    pending.shift()
    for (const [name, by] of Object.entries(counts)) task.count(name as JobCount, by)
    for (const key of keys) task.list(key)
    task.done += scanned
    await task.save(checkpoint)
  }
  try {
    for await (const { page, scanned, checkpoint } of steps) {
      const one: Pending = { scanned, checkpoint, result: work(page), settled: false }
      one.result.then(
        () => (one.settled = true),
        () => (one.settled = true),
      )
      pending.push(one)
      while (pending.length >= limit || pending[0]?.settled === true) await commit()
    }
    while (pending.length > 0) await commit()
  } finally {
    await Promise.allSettled(pending.map(({ result }) => result))
  }
}
