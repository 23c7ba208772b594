import { count, counted, duration, milliseconds, percent, rate, time } from './format.js'
import { MAX_PATTERNS } from './loading.js'

/** @import { State } from './state.js' @import { RouteStatus, Status } from '../shapes.js' */

/**
 * @typedef {object} Problem
 * @property {'bad' | 'warn'} level
 * @property {string} text
 * @property {string} href the section to look at
 */

/** A lag of seconds under load is the shadow working; beyond this it does not keep up. */
export const LAG_MS = 5_000
/** Clocks that differ move expiries by as much. */
const CLOCK_OFFSET_MS = 1_000
/** Routes that are named in one line. */
const MAX_NAMED = 3

/**
 * Whether the application gets its answers: what has to be known first when somebody is woken.
 *
 * @param {State} state
 * @returns {Pick<Problem, 'text'> & { level: Problem['level'] | 'good' }}
 */
export function applicationState({ status, connection }) {
  if (connection === 'lost')
    return { level: 'warn', text: 'Understudy does not answer: nothing is known of the application.' }
  const reasons = status?.application?.reasons ?? []
  return reasons.length === 0
    ? { level: 'good', text: 'The application is served, as far as can be seen from here.' }
    : { level: 'bad', text: `The application suffers: ${reasons.join('; ')}.` }
}

/**
 * What is wrong, the worst first: the answer to "is it safe to go on".
 *
 * @param {State} state
 * @returns {Problem[]}
 */
export function findProblems(state) {
  const { status } = state
  if (status === null) return []
  const problems = [
    ...storeProblems(status),
    ...fileProblems(status),
    ...joined(Object.entries(status.routes).flatMap(([name, route]) => routeProblems(name, route, state))),
    ...mismatchProblems(state),
    ...jobProblems(state),
  ]
  return problems.sort((a, b) => (a.level === b.level ? 0 : a.level === 'bad' ? -1 : 1))
}

/** @param {Status} status @returns {Problem[]} */
function storeProblems({ stores, routes }) {
  return Object.entries(stores).flatMap(([name, { up, error, clockOffsetMs, sentinel }]) => {
    /** @type {Problem[]} */
    const found = []
    const href = '#stores'
    if (!up) {
      const why = error === null ? '' : `: ${error}`
      const of = (/** @type {'primary' | 'shadow'} */ role) =>
        Object.entries(routes).filter(([, route]) => route[role] === name)
      const [primaries, shadows] = [of('primary'), of('shadow')]
      const role = primaries.length > 0 ? 'primary' : shadows.length > 0 ? 'shadow' : 'not in use'
      found.push({
        level: role === 'not in use' ? 'warn' : 'bad',
        text: `Store ${name} (${role}) is down${why}${waitingFor(shadows.map(([, route]) => route.mirror))}`,
        href,
      })
    }
    if (up && sentinel?.answering === 0) {
      const text = `No Sentinel of store ${name} answers: a failover would not be noticed`
      found.push({ level: 'warn', text, href })
    }
    const offsetMs = Math.abs(clockOffsetMs ?? 0)
    if (offsetMs > CLOCK_OFFSET_MS) {
      const text = `The clock of store ${name} is off by ${milliseconds(offsetMs)}: keys expire at another time there`
      found.push({ level: 'warn', text, href })
    }
    return found
  })
}

/** @param {Status} status @returns {Problem[]} */
function fileProblems({ lastReload, needsRestart = [], durability }) {
  /** @type {Problem[]} */
  const found = []
  const href = '#configuration'
  if (!lastReload.successful)
    found.push({ level: 'bad', text: 'The last reload failed; the configuration before it is in force', href })
  if (needsRestart.length > 0)
    found.push({ level: 'warn', text: `Applies after a restart: ${needsRestart.join(', ')}`, href })
  const text = 'The state directory cannot be written: a crash now would leave keys in doubt unknown'
  if (durability?.intact === false) found.push({ level: 'bad', text, href })
  return found
}

/** What a shadow that is down means, instead of a line for each route: it is one cause.  @param {RouteStatus['mirror'][]} mirrors */
function waitingFor(mirrors) {
  const writes = mirrors.reduce((sum, { backlog }) => sum + backlog, 0)
  const dirty = mirrors.reduce((sum, { dirtyKeys }) => sum + dirtyKeys, 0)
  if (writes + dirty === 0) return ''
  const waiting = [
    ...(writes === 0 ? [] : [counted(writes, 'write')]),
    ...(dirty === 0 ? [] : [counted(dirty, 'dirty key')]),
  ]
  return `. ${waiting.join(' and ')} wait for it, nothing is lost`
}

/**
 * @param {string} name
 * @param {RouteStatus} route
 * @param {State} state
 * @returns {(Problem & { route: string })[]}
 */
function routeProblems(name, { mirror, phase, compare, shadow, problems }, { status, recent }) {
  /** @type {(Problem & { route: string })[]} */
  const found = []
  const because = Object.entries(mirror.dirtyReasons ?? {}).map(([reason, keys]) => `${count(keys)} ${reason}`)
  const reasons = because.length === 0 ? '' : ` (${because.join(', ')})`
  const say = (/** @type {Problem['level']} */ level, /** @type {string} */ text, href = '#routes') =>
    found.push({ level, text, href, route: name })
  const isShadowDown = shadow !== null && status?.stores[shadow]?.up === false
  if (!isShadowDown && mirror.lagMs > LAG_MS)
    say('bad', `the shadow is ${duration(mirror.lagMs / 1000)} behind, ${counted(mirror.backlog, 'write')} to come`)
  for (const { level, text, verify } of problems ?? []) say(level, text, verify ? '#jobs' : '#routes')
  const failed = mirror.refusedCopy ? `: copies fail (${mirror.refusedCopy})` : ''
  if (!isShadowDown && mirror.dirtyKeys > 0)
    say(failed ? 'bad' : 'warn', `${counted(mirror.dirtyKeys, 'dirty key')} to be copied${reasons}${failed}`)
  const timeouts = recently(recent, name, 'timeouts')
  if (timeouts > 0) say('bad', `${rate(timeouts)} commands without a reply from the primary`)
  const fallbacks = recently(recent, name, 'fallbacks')
  if (phase === 'read-target' && fallbacks > 0) say('warn', `${rate(fallbacks)} reads fall back to the source`)
  const differing = compare.rates['1m'].rate ?? 0
  if (differing > 0) say('bad', `${percent(differing)} of the compared reads differ, in the last minute`, '#mismatches')
  return found
}

/** Mean of a rate over the samples that are remembered: one sample of two seconds alone would make the page flicker. */
function recently(/** @type {State['recent']} */ recent, /** @type {string} */ route, /** @type {string} */ series) {
  if (recent.length === 0) return 0
  return recent.reduce((sum, { routes }) => sum + (routes[route]?.[series] ?? 0), 0) / recent.length
}

/** One line for what several routes have in common: 50 routes with one store have one cause.  @param {(Problem & { route: string })[]} problems @returns {Problem[]} */
function joined(problems) {
  /** @type {Map<string, { level: Problem['level'], text: string, href: string, routes: string[] }>} */
  const byText = new Map()
  for (const { level, text, href, route } of problems) {
    const same = byText.get(text)
    if (same === undefined) byText.set(text, { level, text, href, routes: [route] })
    else same.routes.push(route)
  }
  return [...byText.values()].map(({ level, text, href, routes }) => ({
    level,
    // What is common to several reads the same; of one route the commands can be typed as they stand.
    text: `${named(routes)}: ${routes.length === 1 ? text.replaceAll(' ROUTE', () => ` ${routes[0]}`) : text}`,
    href,
  }))
}

/** @param {string[]} names */
function named(names) {
  if (names.length <= MAX_NAMED) return names.join(', ')
  return `${names.slice(0, MAX_NAMED).join(', ')} and ${counted(names.length - MAX_NAMED, 'route')} more`
}

/** @param {State} state @returns {Problem[]} */
function mismatchProblems({ patterns }) {
  // What `compare.baseline` shows is noise of the primary alone.
  const open = patterns.filter(({ acknowledged, cause }) => acknowledged === null && cause !== 'baseline')
  const [latest] = open
  if (latest === undefined) return []
  const atLeast = patterns.length < MAX_PATTERNS ? '' : 'at least '
  const text = `${atLeast}${counted(open.length, 'group')} of mismatches, not acknowledged; the latest seen ${time(latest.lastSeen)}`
  return [{ level: 'warn', text, href: '#mismatches' }]
}

/** @param {State} state @returns {Problem[]} */
function jobProblems({ jobs }) {
  // The newest first: one that failed and was done again is over.
  const newest = new Map(jobs.toReversed().map((job) => [`${job.kind} ${job.route}`, job]))
  return [...newest.values()]
    .filter(({ state }) => state === 'failed')
    .map(({ kind, route, error }) => ({
      level: 'bad',
      text: `The ${kind} of ${route} failed${error ? `: ${error}` : ''}`,
      href: '#jobs',
    }))
}
