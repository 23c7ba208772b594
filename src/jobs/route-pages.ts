import { UnderstudyError } from '../base/errors.ts'
import { type EndKeys, endsOf } from './end-keys.ts'
import type { JobEnvironment } from './environment.ts'
import type { Step } from './in-order.ts'
import type { Page } from './scan.ts'

/** Keys of the route (application names) of one page of a scan. */
export interface KeysOfRoute {
  readonly database: number
  readonly keys: readonly Buffer[]
}

/** Of each page the route's keys, with the checkpoint that stands behind it. */
export async function* routePages(
  pages: AsyncIterable<Page>,
  end: EndKeys,
  checkpoint: (next: Page['next']) => unknown,
): AsyncGenerator<Step<KeysOfRoute>> {
  for await (const { database, names, next } of pages) {
    const keys: Buffer[] = []
    for (const name of names) {
      const key = end.keyOf(name)
      if (key !== null) keys.push(key)
    }
    yield { page: { database, keys }, scanned: names.length, checkpoint: checkpoint(next) }
  }
}

/** Throws JOB_REFUSED when the route's ends are not what they were when the job began: what has been done is not what was asked for. */
export function refuseMoved(
  environment: JobEnvironment,
  route: string,
  primary: EndKeys,
  shadow: EndKeys | null,
): void {
  const now = endsOf(environment.config(), route)
  if (sameEnd(now.primary, primary) && sameEnd(now.shadow, shadow)) return
  throw new UnderstudyError(
    'JOB_REFUSED',
    `the phase or the ends of route '${route}' were changed while the job ran: start it again`,
  )
}

function sameEnd(one: EndKeys | null, other: EndKeys | null): boolean {
  return one?.which === other?.which && one?.storeName === other?.storeName
}
