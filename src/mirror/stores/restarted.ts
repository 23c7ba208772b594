import type { Route } from '../../routing/route.ts'
import type { DataPathContext } from '../context.ts'
import type { DirtySet } from '../dirty/dirty-set.ts'

/** The server of `store` is another one than it was, or was started again: `routes`, which it is an end of, need a verify, and the log says why. */
export function markRestarted(
  { log }: DataPathContext,
  dirty: DirtySet,
  store: string,
  routes: readonly Route[],
): void {
  const asShadow = routes.filter(({ shadow }) => shadow!.storeName === store)
  const asPrimary = routes.filter(({ shadow }) => shadow!.storeName !== store)
  for (const { name } of asShadow) dirty.toVerify.mark(name, 'shadow-restarted')
  for (const { name } of asPrimary) dirty.toVerify.mark(name, 'primary-restarted')
  if (asShadow.length > 0)
    log({
      level: 'warn',
      msg: 'the shadow was restarted or replaced; what it had may be lost, so its routes need a verify',
      fields: { store },
    })
  if (asPrimary.length > 0)
    log({
      level: 'warn',
      msg: 'the primary was restarted or replaced; what it may have lost is still on the shadow, so its routes need a verify',
      fields: { store },
    })
}
