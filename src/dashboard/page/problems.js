import { count, counted, duration, milliseconds, percent, rate } from './format.js'

/**
 * @typedef {object} Problem
 * @property {'bad' | 'warn'} level
 * @property {string} text
 * @property {string} href the section to look at
 */

/** A lag of seconds under load is the shadow working; beyond this it does not keep up. */
const LAG_MS = 5_000
/** Clocks that differ move the expiry of keys by as much. */
const CLOCK_OFFSET_MS = 1_000

/**
 * What is wrong, the worst first: the answer to "is it safe to go on".
 *
 * @param {import('./state.js').State} state
 * @returns {Problem[]}
 */
export function findProblems(state) {
  const { status } = state
  if (status === null) return []
  const problems = [
    ...storeProblems(status),
    ...reloadProblems(status),
    ...durabilityProblems(status),
    ...Object.entries(status.routes).flatMap(([name, route]) => routeProblems(name, route, state)),
    ...mismatchProblems(state),
    ...jobProblems(state),
  ]
  return problems.sort((a, b) => (a.level === b.level ? 0 : a.level === 'bad' ? -1 : 1))
}

/** @param {import('./types.js').Status} status @returns {Problem[]} */
function storeProblems({ stores, routes }) {
  const used = new Set(Object.values(routes).flatMap(({ primary, shadow }) => [primary, shadow]))
  const primaries = new Set(Object.values(routes).map(({ primary }) => primary))
  return Object.entries(stores).flatMap(([name, { up, error, clockOffsetMs, sentinel }]) => {
    /** @type {Problem[]} */
    const found = []
    if (!up) {
      const role = primaries.has(name) ? 'primary' : used.has(name) ? 'shadow' : 'not in use'
      const why = error === null ? '' : `: ${error}`
      found.push({
        level: role === 'primary' ? 'bad' : 'warn',
        text: `Store ${name} (${role}) is down${why}`,
        href: '#stores',
      })
    }
    if (up && sentinel?.answering === 0) {
      const text = `No Sentinel of store ${name} answers: a failover would not be noticed`
      found.push({ level: 'warn', text, href: '#stores' })
    }
    if (Math.abs(clockOffsetMs ?? 0) > CLOCK_OFFSET_MS) {
      const text = `The clock of store ${name} is off by ${milliseconds(Math.abs(clockOffsetMs ?? 0))}: keys expire at another time there`
      found.push({ level: 'warn', text, href: '#stores' })
    }
    return found
  })
}

/** @param {import('./types.js').Status} status @returns {Problem[]} */
function reloadProblems({ lastReload }) {
  if (lastReload.successful) return []
  return [
    { level: 'bad', text: 'The last reload failed; the configuration before it is in force', href: '#configuration' },
  ]
}

/** @param {import('./types.js').Status} status @returns {Problem[]} */
function durabilityProblems({ durability }) {
  if (durability.intact) return []
  return [
    {
      level: 'bad',
      text: 'The state directory cannot be written: a crash now would leave keys in doubt unknown',
      href: '#configuration',
    },
  ]
}

/**
 * @param {string} name
 * @param {import('./types.js').RouteStatus} route
 * @param {import('./state.js').State} state
 * @returns {Problem[]}
 */
function routeProblems(name, { mirror, phase }, { sample }) {
  const now = sample?.routes[name]
  /** @type {Problem[]} */
  const found = []
  const because = Object.entries(mirror.dirtyReasons).map(([reason, keys]) => `${count(keys)} ${reason}`)
  const reasons = because.length === 0 ? '' : ` (${because.join(', ')})`
  const say = (/** @type {Problem['level']} */ level, /** @type {string} */ text) =>
    found.push({ level, text: `${name}: ${text}`, href: '#routes' })
  if (mirror.lagMs > LAG_MS)
    say('bad', `the shadow is ${duration(mirror.lagMs / 1000)} behind, ${counted(mirror.backlog, 'write')} to come`)
  if (mirror.needsVerify)
    say('bad', `keys may differ that nobody can name: it needs a verify (${mirror.verifyCauses.join(', ')})`)
  if (mirror.repair === 'tripped') say('bad', 'copying dirty keys keeps failing: the log says why')
  if (mirror.dirtyKeys > 0) say('warn', `${counted(mirror.dirtyKeys, 'dirty key')} to be copied${reasons}`)
  if ((now?.timeouts ?? 0) > 0) say('bad', `${rate(now?.timeouts)} commands without a reply from the primary`)
  if (phase === 'read-target' && (now?.fallbacks ?? 0) > 0)
    say('warn', `${rate(now?.fallbacks)} reads fall back to the source`)
  if ((now?.mismatchRate ?? 0) > 0) say('bad', `${percent(now?.mismatchRate)} of the compared reads differ now`)
  return found
}

/** @param {import('./state.js').State} state @returns {Problem[]} */
function mismatchProblems({ patterns }) {
  const open = patterns.filter(({ acknowledged }) => acknowledged === null)
  if (open.length === 0) return []
  const seen = open.reduce((sum, pattern) => sum + pattern.count, 0)
  const text = `${counted(seen, 'mismatch', 'mismatches')} in ${counted(open.length, 'group')}, not acknowledged`
  return [{ level: 'warn', text, href: '#mismatches' }]
}

/** @param {import('./state.js').State} state @returns {Problem[]} */
function jobProblems({ jobs }) {
  return jobs
    .filter(({ state }) => state === 'failed')
    .map(({ kind, route, error }) => ({
      level: 'bad',
      text: `The ${kind} of ${route} failed${error ? `: ${error}` : ''}`,
      href: '#jobs',
    }))
}
