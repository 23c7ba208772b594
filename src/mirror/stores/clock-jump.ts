import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'

/**
 * Somebody has set a store's clock since it was last asked, about a second ago. What its clients gave a time to live meanwhile went to the shadow with the time of before, for the primary's clock makes times absolute: nobody
 * can name these keys, so the routes need a verify. What was there before keeps its time on both sides.
 */
export function sayClockJumped(context: DataPathContext, dirty: DirtySet, store: string): void {
  const routes = context.routes.routes.filter(({ primary, shadow }) => shadow !== null && primary.storeName === store)
  for (const { name } of routes) dirty.toVerify.mark(name, 'primary-clock')
  if (routes.length === 0) return
  context.log({
    level: 'warn',
    msg: "the primary's clock was set; keys that were given a time to live in that moment may end at another time on the shadow, so its routes need a verify",
    fields: { store },
  })
}
