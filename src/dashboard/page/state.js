/**
 * The next step of a route as a dry run tells it.
 *
 * @typedef {object} NextStep
 * @property {import('../shapes.js').Phase} to
 * @property {import('../shapes.js').PhaseResult['gates']} gates
 * @property {string | null} error
 */

/**
 * @typedef {object} State
 * @property {'connecting' | 'live' | 'lost' | 'login'} connection
 * @property {import('../shapes.js').Status | null} status
 * @property {import('../shapes.js').RouteView[]} routes
 * @property {import('../shapes.js').HistorySample | null} sample the newest
 * @property {import('../shapes.js').HistorySample[]} recent those of the last half minute, the oldest first
 * @property {import('../shapes.js').Mismatch[]} patterns the latest first
 * @property {import('../shapes.js').Job[]} jobs the newest first
 * @property {Record<string, NextStep>} nextSteps by route
 * @property {any} config redacted
 * @property {string | null} notice what was just done, or could not be
 * @property {'good' | 'bad'} noticeTone
 * @property {string} routeFilter what the names, keys or phases of the shown routes have in them
 * @property {string} chartRoute ''  all together
 * @property {'10m' | '3h' | '24h'} chartRange
 * @property {import('../shapes.js').History | null} history what the charts show
 */

/** @type {State} */
export const state = {
  connection: 'connecting',
  status: null,
  routes: [],
  sample: null,
  recent: [],
  patterns: [],
  jobs: [],
  nextSteps: {},
  config: null,
  notice: null,
  noticeTone: 'good',
  routeFilter: '',
  chartRoute: '',
  chartRange: '10m',
  history: null,
}

/** @type {() => void} */
let draw = () => {}
let drawing = false

/** @param {() => void} callback what draws the page */
export function onChange(callback) {
  draw = callback
}

/** Changes the state; the page is drawn once, before the next frame.  @param {Partial<State>} changes */
export function update(changes = {}) {
  Object.assign(state, changes)
  if (drawing) return
  drawing = true
  // A hidden page gets no frames, and must not be stale when it is looked at again: a timer comes in any case.
  setTimeout(() => {
    drawing = false
    draw()
  }, 0)
}

/** Names of the routes that the filter lets through. @returns {string[]} */
export function routesShown() {
  const wanted = state.routeFilter.trim().toLowerCase()
  return Object.entries(state.status?.routes ?? {})
    .filter(([name, { phase }]) => {
      const keys = state.routes.find((route) => route.name === name)?.keys ?? []
      return [name, phase, ...keys].some((text) => text.toLowerCase().includes(wanted))
    })
    .map(([name]) => name)
}

/** @param {string} text @param {'good' | 'bad'} [tone] */
export function notify(text, tone = 'good') {
  update({ notice: text, noticeTone: tone })
}
