import { html } from 'lit-html'
import { count, milliseconds, percent, rate } from './format.js'
import { loadHistory } from './loading.js'
import { createPlot } from './plot.js'
import { state, update } from './state.js'

/** @import { State } from './state.js' @import { Chart, History, HistorySample } from '../shapes.js' */

/** @type {Chart[]} */
const CHARTS = [
  {
    id: 'requests',
    title: 'Requests per second',
    format: rate,
    lines: [
      { name: 'primaryRequests', label: 'primary', color: '--series-1' },
      { name: 'shadowRequests', label: 'shadow', color: '--series-2' },
      { name: 'compared', label: 'compared', color: '--series-3' },
    ],
  },
  {
    id: 'latency',
    title: 'Latency',
    format: milliseconds,
    lines: [
      { name: 'primaryP50Ms', label: 'primary p50', color: '--series-1' },
      { name: 'primaryP99Ms', label: 'primary p99', color: '--series-1', dash: [4, 3] },
      { name: 'shadowP50Ms', label: 'shadow p50', color: '--series-2' },
      { name: 'shadowP99Ms', label: 'shadow p99', color: '--series-2', dash: [4, 3] },
    ],
  },
  {
    id: 'lag',
    title: 'Lag of the shadow',
    format: milliseconds,
    lines: [{ name: 'lagMs', label: 'lag', color: '--series-2' }],
  },
  {
    id: 'waiting',
    title: 'Waiting for the shadow',
    format: count,
    whole: true,
    lines: [
      { name: 'backlog', label: 'backlog', color: '--series-2' },
      { name: 'dirtyKeys', label: 'dirty keys', color: '--series-4' },
    ],
  },
  {
    id: 'mismatches',
    title: 'Mismatch rate',
    format: percent,
    lines: [{ name: 'mismatchRate', label: 'of compared reads', color: '--series-4' }],
  },
  {
    id: 'pauses',
    title: 'Pauses of switches',
    format: milliseconds,
    lines: [{ name: 'pauseMs', label: 'commands held for', color: '--series-3' }],
  },
]

const RANGES = /** @type {const} */ ({ '10m': '10 minutes', '3h': '3 hours', '24h': '24 hours' })

/** @param {State} state */
export function chartsSection({ chartRange, chartRoute, routes, history }) {
  return html`<section id="charts" aria-labelledby="charts-title">
    <div class="section-head">
      <h2 id="charts-title">Over time</h2>
      <label>
        <span class="visually-hidden">Route of the charts</span>
        <select @change=${(/** @type {Event} */ event) => choose({ chartRoute: chosenIn(event) })}>
          <option value="" ?selected=${chartRoute === ''}>all routes</option>
          ${routes.map(({ name }) => html`<option value=${name} ?selected=${name === chartRoute}>${name}</option>`)}
        </select>
      </label>
      <div class="ranges" role="group" aria-label="Time shown">
        ${Object.entries(RANGES).map(
          ([range, label]) =>
            html`<button type="button" aria-pressed=${range === chartRange ? 'true' : 'false'} @click=${() => choose({ chartRange: /** @type {keyof typeof RANGES} */ (range) })}>
              ${label}
            </button>`,
        )}
      </div>
    </div>
    <div class="charts">
      ${CHARTS.map(
        (chart) =>
          html`<figure>
            <figcaption>${chart.title} <span class="latest">${latest(chart, history)}</span></figcaption>
            <div class="plot" data-chart=${chart.id}></div>
          </figure>`,
      )}
    </div>
  </section>`
}

/** The newest values in words: what the drawing shows, for those who do not see it.  @param {Chart} chart @param {History | null} history */
function latest(chart, history) {
  if (history === null) return ''
  if (chart.id === 'pauses') {
    const [last] = history.switches
    return last === undefined ? 'no switch in this time' : `${last.route} to ${last.to}: ${milliseconds(last.pauseMs)}`
  }
  return chart.lines.map(
    ({ name, label, color, dash }) =>
      html`<span class="line"><i class="${color.slice(2)} ${dash === undefined ? '' : 'dashed'}"></i>${label} ${chart.format(history.series[name]?.at(-1) ?? null)}</span> `,
  )
}

/** @param {Event} event */
function chosenIn(event) {
  return /** @type {HTMLSelectElement} */ (event.target).value
}

/** @param {Partial<Pick<State, 'chartRoute' | 'chartRange'>>} changes */
function choose(changes) {
  update(changes)
  void loadHistory().catch(() => {})
}

/** @type {Map<string, import('uplot')>} */
const plots = new Map()
/** What is drawn: drawn again only when it is another. @type {unknown} */
let drawn = null

/** Draws what the history holds. Called after the page is rendered: uPlot owns the inside of `.plot`. */
export function drawCharts() {
  const { history } = state
  if (history === null || history === drawn) return
  drawn = history
  for (const chart of CHARTS) {
    const host = /** @type {HTMLElement | null} */ (document.querySelector(`[data-chart="${chart.id}"]`))
    if (host === null) continue
    const data = chart.id === 'pauses' ? pauses(history) : linesOf(chart, history)
    const plot = plots.get(chart.id)
    if (plot === undefined) plots.set(chart.id, createPlot(chart, host, data))
    else plot.setData(data)
  }
}

/** Colours are read when a plot is made: after a change of theme all are made anew. */
export function redrawCharts() {
  for (const plot of plots.values()) plot.destroy()
  plots.clear()
  drawn = null
  drawCharts()
}

/** Takes the newest sample into what is shown, when it is of the finest resolution.  @param {HistorySample} sample */
export function addSample(sample) {
  const { history, chartRoute } = state
  const point = sample.routes[chartRoute]
  if (history === null || history.range !== '10m' || history.route !== chartRoute || point === undefined) return
  const at = Date.parse(sample.at) / 1000
  if (at <= (history.at.at(-1) ?? 0)) return
  const keep = history.at.filter((other) => other >= at - 600).length
  const names = new Set([...Object.keys(history.series), ...Object.keys(point)])
  const before = history.at.map(() => null)
  update({
    history: {
      ...history,
      at: [...history.at.slice(history.at.length - keep), at],
      series: Object.fromEntries(
        [...names].map((name) => {
          const values = history.series[name] ?? before
          return [name, [...values.slice(values.length - keep), point[name] ?? null]]
        }),
      ),
    },
  })
}

/**
 * A time when nothing ran is a gap and not a straight line over it.
 *
 * @param {Chart} chart @param {History} history
 * @returns {import('uplot').AlignedData}
 */
function linesOf({ lines }, { at, series, stepSeconds }) {
  /** @type {number[]} */
  const times = []
  /** @type {(number | null)[][]} */
  const values = lines.map(() => [])
  at.forEach((time, i) => {
    const before = times.at(-1)
    if (before !== undefined && time - before > 2.5 * stepSeconds) {
      times.push(before + stepSeconds)
      for (const list of values) list.push(null)
    }
    times.push(time)
    lines.forEach(({ name }, line) => {
      values[line]?.push(series[name]?.[i] ?? null)
    })
  })
  return [times, ...values]
}

/** @param {History} history @returns {import('uplot').AlignedData} */
function pauses({ switches }) {
  const oldestFirst = switches.toReversed()
  return [oldestFirst.map(({ at }) => Date.parse(at) / 1000), oldestFirst.map(({ pauseMs }) => pauseMs)]
}
