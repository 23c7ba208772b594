import { state } from './state.js'

/** @type {typeof import('uplot')} */
const uPlot = /** @type {any} */ (globalThis).uPlot

/** @import { Chart } from '../shapes.js' */

const HEIGHT = 160
/** 1, 2, 5, 10, ... */
const WHOLE_STEPS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat()

/** Draws one chart into `host`, and follows its width.  @param {Chart} chart @param {HTMLElement} host @param {import('uplot').AlignedData} data */
export function createPlot(chart, host, data) {
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
