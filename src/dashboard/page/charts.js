import { html } from 'lit-html'
import { count, milliseconds, percent, rate } from './format.js'
import { loadHistory } from './loading.js'
import { state, update } from './state.js'

/** @import { State } from './state.js' @import { History, HistorySample } from '../shapes.js' */

/** @type {typeof import('uplot')} */
const uPlot = /** @type {any} */ (globalThis).uPlot

/**
 * @typedef {object} Chart
 * @property {string} id
 * @property {string} title
 * @property {(value: number | null) => string} format
 * @property {boolean} [whole] of things that are counted: no line between 0 and 1
 * @property {{ name: string, label: string, color: string, dash?: number[] }[]} lines `color` is a custom property of the style sheet
 */

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
const HEIGHT = 160
/** 1, 2, 5, 10, ... */
const WHOLE_STEPS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat()

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
    if (plot === undefined) plots.set(chart.id, create(chart, host, data))
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

/** @param {Chart} chart @param {HTMLElement} host @param {import('uplot').AlignedData} data */
function create(chart, host, data) {
  const color = (/** @type {string} */ name) => resolved(host, name)
  const axis = { stroke: color('--quiet'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false } }
  const plot = new uPlot(
    {
      width: Math.max(host.clientWidth, 200),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: true, range: () => rangeShown() },
        y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] },
      },
      axes: [
        { ...axis, size: 28, font: '11px system-ui', values: (_plot, splits) => splits.map(clock) },
        {
          ...axis,
          size: 62,
          font: '11px system-ui',
          ...(chart.whole === true ? { incrs: WHOLE_STEPS } : {}),
          values: (_plot, splits) => splits.map((value) => chart.format(value)),
        },
      ],
      series: [
        {},
        ...chart.lines.map(({ label, color: name, dash }) => ({
          label,
          stroke: color(name),
          width: 1.5,
          ...(dash === undefined ? {} : { dash }),
          ...(chart.id === 'pauses'
            ? { paths: () => null, points: { show: true, size: 8, fill: color(name) } }
            : { points: { show: false } }),
        })),
      ],
      plugins: [tip(chart)],
    },
    data,
    host,
  )
  new ResizeObserver(() => plot.setSize({ width: Math.max(host.clientWidth, 200), height: HEIGHT })).observe(host)
  return plot
}

/** A custom property as a colour that a canvas understands: light-dark() is for style sheets only.  @param {HTMLElement} host @param {string} name */
function resolved(host, name) {
  const probe = host.appendChild(document.createElement('i'))
  probe.style.color = `var(${name})`
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}

/** @param {number} seconds */
function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
}

/** The whole range, however much of it there is. @returns {[number, number]} */
function rangeShown() {
  const seconds = { '10m': 600, '3h': 10_800, '24h': 86_400 }[state.chartRange]
  const now = Date.now() / 1000
  return [now - seconds, now]
}

/** Values under the pointer.  @param {Chart} chart @returns {import('uplot').Plugin} */
function tip(chart) {
  const box = document.createElement('div')
  box.className = 'tip'
  box.hidden = true
  return {
    hooks: {
      init: (plot) => {
        plot.over.append(box)
      },
      setCursor: (plot) => {
        const { idx, left = 0 } = plot.cursor
        const time = idx == null ? undefined : plot.data[0][idx]
        box.hidden = time === undefined
        if (time === undefined || idx == null) return
        const values = chart.lines.map(({ label }, i) => `${label} ${chart.format(plot.data[i + 1]?.[idx] ?? null)}`)
        box.textContent = [new Date(time * 1000).toLocaleTimeString(), ...values].join('\n')
        box.classList.toggle('left', left > plot.over.clientWidth / 2)
        box.style.left = `${left}px`
      },
    },
  }
}
