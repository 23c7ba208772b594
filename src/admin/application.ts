import type { RouteConfig } from '../config/config.ts'
import { isReplica } from '../upstream/health.ts'
import type { Answers, RecentAnswers } from './recent-answers.ts'
import type { Serving } from './serving.ts'
import type { RouteStatus, Status, StoreStatus } from './status.ts'

/** As the alert on errors has it, which looks at five minutes. */
const MAX_ERROR_SHARE = 0.05
/** Half a minute can be a handful of commands, some of them mistyped: from so many errors on they are a share of something. */
const MIN_ERRORS = 20
/** Routes that are named in one sentence. */
const MAX_NAMED = 3

/** What a route suffers from. Routes of which the same is said share the sentence. */
interface Trouble {
  /** 0 is told first. */
  readonly rank: number
  /** `which`: the routes. `of`: of their commands in the last half minute, "3 of 10". */
  readonly told: (which: string, of: string) => string
  /** Commands with that trouble, of so many. */
  readonly some: number
  readonly all: number
}

/**
 * Whether the application gets its answers, as far as can be seen from here: what has to be known first when somebody is woken. Trouble of a shadow does not reach it, unless its writes are to fail with the shadow's. A
 * route that suffers is named once, for the worst.
 *
 * @param servingOf how a store serves those whose primary it is
 */
export function applicationOf(
  configured: readonly RouteConfig[],
  stores: Readonly<Record<string, StoreStatus>>,
  routes: Readonly<Record<string, RouteStatus>>,
  recent: RecentAnswers,
  servingOf: (store: string) => Serving,
): Status['application'] {
  const troubles = configured.flatMap((route) => {
    const { primary, shadow } = routes[route.name]!
    const isReadOnly = isReplica(stores[primary]?.role ?? null)
    const isShadowDown = shadow !== null && stores[shadow]?.up === false
    const trouble = troubleOf(route, servingOf(primary), isReadOnly, isShadowDown, recent.of(route.name, primary))
    return trouble === null ? [] : [{ ...trouble, route: route.name }]
  })
  const alike = Map.groupBy(
    troubles.toSorted((a, b) => a.rank - b.rank),
    ({ told }) => told('', ''),
  )
  const reasons = [...alike.values()].map((same) => {
    const which = same.length === configured.length ? 'every route' : listed(same.map(({ route }) => route))
    const sum = (of: 'some' | 'all'): number => same.reduce((total, trouble) => total + trouble[of], 0)
    return same[0]!.told(which, `${sum('some')} of ${sum('all')}`)
  })
  return { served: reasons.length === 0, reasons }
}

/** The worst. */
function troubleOf(
  { mirror }: RouteConfig,
  { down, partly }: Serving,
  isReadOnly: boolean,
  isShadowDown: boolean,
  { requests, errors, errorCode, unanswered }: Answers,
): Trouble | null {
  const mostly = errorCode === null ? '' : `, mostly ${errorCode},`
  const suffers = (rank: number, told: Trouble['told'], some = 0): Trouble => ({ rank, told, some, all: requests })
  if (down !== null) return suffers(0, (which) => `the primary of ${which} ${down}`)
  if (partly !== null) return suffers(1, (which) => `a part of the primary of ${which} is away: ${partly}`)
  if (isReadOnly) return suffers(2, (which) => `the primary of ${which} is a replica, which refuses writes`)
  if (unanswered > 0)
    return suffers(
      3,
      (which, of) => `${of} commands to the primary of ${which} got no answer in the last half minute`,
      unanswered,
    )
  if (mirror.mode === 'sync' && mirror.onShadowError === 'fail' && isShadowDown)
    return suffers(
      4,
      (which) => `writes of ${which} are answered with an error while the shadow is down (mirror.onShadowError: fail)`,
    )
  if (errors >= MIN_ERRORS && errors > MAX_ERROR_SHARE * requests)
    return suffers(
      5,
      (which, of) => `the primary of ${which} answered ${of} commands with an error${mostly} in the last half minute`,
      errors,
    )
  return null
}

function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED
  return `${names.slice(0, MAX_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
