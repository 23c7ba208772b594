import { packBytes } from '../base/packed-bytes.ts'
import { COPIED, FAILED } from '../mirror/copy-batch.ts'
import type { JobEnvironment } from './environment.ts'
import type { ListedKey } from './job-store.ts'
import type { Task } from './task.ts'
import type { Throttle } from './throttle.ts'

export interface CopyResult {
  readonly copied: number
  readonly failed: readonly ListedKey[]
}

const RETRY_MS = 100
/** A key that cannot be copied now although both stores are there is given up after so many rounds. */
const MAX_ROUNDS = 50

/** Copies keys (application names) from the primary to the shadow by the data path. What only the moment forbids is tried again; what fails has its reason. */
export async function copyKeys(
  environment: JobEnvironment,
  task: Task,
  throttle: Throttle,
  database: number,
  keys: readonly Buffer[],
): Promise<CopyResult> {
  const failed: ListedKey[] = []
  let copied = 0
  let left = keys
  for (let round = 0; left.length > 0; round++) {
    const window = await throttle.admit(left.length)
    const { outcomes, reasons } = await environment.dataPath.copy(database, packBytes(left), window)
    const why = new Map(reasons)
    const again: Buffer[] = []
    for (let i = 0; i < left.length; i++) {
      const outcome = outcomes[i]
      if (outcome === COPIED) copied++
      else if (outcome === FAILED || round >= MAX_ROUNDS) {
        failed.push({
          database,
          key: left[i]!,
          class: 'failed',
          detail: `It could not be copied: ${shown(why.get(i))}.`,
        })
      } else again.push(left[i]!)
    }
    left = again
    if (left.length > 0) await task.wait(RETRY_MS)
  }
  return { copied, failed }
}

/** An error of a store without what it may quote: texts in quotes can be data. */
function shown(reason: string | undefined): string {
  return (reason ?? 'for an unknown reason').replace(/'[^']*'|"[^"]*"/g, '...')
}
