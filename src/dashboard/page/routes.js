import { html, nothing } from 'lit-html'
import { repeat } from 'lit-html/directives/repeat.js'
import { bytes, count, counted, milliseconds, percent, rate } from './format.js'
import { loadNextSteps } from './loading.js'
import { openPhaseDialog } from './phase-dialog.js'
import { gateList, track } from './phase-track.js'
import { PHASES } from './phases.js'
import { LAG_MS } from './problems.js'
import { routesShown, update } from './state.js'

/** @import { NextStep, State } from './state.js' @import { Phase, RouteStatus } from '../shapes.js' */

/** Beyond, they can be searched. */
const MANY_ROUTES = 8
/** Nothing typed for so long: what is shown now is what is wanted. */
const TYPED_MS = 300

/** @param {State} state */
export function routesSection(state) {
  const all = state.status?.routes ?? {}
  const many = Object.keys(all).length > MANY_ROUTES
  const shown = routesShown()
  return html`<section id="routes" aria-labelledby="routes-title">
    <div class="section-head">
      <h2 id="routes-title">Routes</h2>
      ${many ? filter(state.routeFilter, `${count(shown.length)} of ${count(Object.keys(all).length)}`) : nothing}
    </div>
    <ul class="routes">
      ${repeat(
        shown,
        (name) => name,
        (name) => routeRow(name, /** @type {RouteStatus} */ (all[name]), state),
      )}
    </ul>
  </section>`
}

/** @param {string} value @param {string} found */
function filter(value, found) {
  return html`<span class="quiet" role="status">${found}</span>
    <label>
      <span class="visually-hidden">Show routes with this in their name, keys or phase</span>
      <input
        type="search"
        placeholder="name, key or phase"
        .value=${value}
        @input=${(/** @type {Event} */ event) => showRoutes(/** @type {HTMLInputElement} */ (event.target).value)}
      />
    </label>`
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing
/** @param {string} routeFilter */
function showRoutes(routeFilter) {
  update({ routeFilter })
  clearTimeout(typing)
  typing = setTimeout(() => void loadNextSteps().catch(() => {}), TYPED_MS)
}

/** @param {string} name @param {RouteStatus} route @param {State} state */
function routeRow(name, route, state) {
  const view = state.routes.find((other) => other.name === name)
  const at = PHASES.indexOf(route.phase)
  const [back, next] = [PHASES[at - 1], PHASES[at + 1]]
  const step = state.nextSteps[name]
  const isClosed = step?.gates.some(({ open }) => !open) ?? false
  return html`<li class="route" data-route=${name}>
    <div class="route-head">
      <h3>${name}</h3>
      <p class="ends">
        <span class="role">primary</span> <strong>${route.primary}</strong>
        ${route.shadow === null ? nothing : html`<span aria-hidden="true">→</span> <span class="role">shadow</span> <strong>${route.shadow}</strong>`}
      </p>
      <p class="keys">${(view?.keys ?? []).map((key) => html`<code>${key}</code> `)}</p>
    </div>
    ${track(name, route.phase)}
    ${numbers(route, state.sample?.routes[name])}
    <div class="steps">
      ${
        back === undefined
          ? nothing
          : html`<button type="button" class="back" @click=${() => openPhaseDialog(name, back)}>
            <span aria-hidden="true">←</span> Back to ${back}<span class="visually-hidden"> (route ${name})</span>
          </button>`
      }
      ${
        next === undefined
          ? html`<span class="quiet">The migration of this route is over.</span>`
          : html`<button type="button" class=${isClosed || step?.error ? '' : 'next'} @click=${() => openPhaseDialog(name, next)}>
            Go on to ${next} <span aria-hidden="true">→</span><span class="visually-hidden"> (route ${name})</span>
          </button>`
      }
      ${gatesOf(step, next)} ${next === undefined || isClosed ? nothing : cautions(name, route, state)}
    </div>
  </li>`
}

/** @param {RouteStatus} route @param {Readonly<Record<string, number | null>> | undefined} now */
function numbers({ mirror, compare, shadow }, now) {
  const share = compare.rates['10m'].rate
  return html`<dl class="numbers">
    ${number('requests', rate(now?.['primaryRequests']))}
    ${number('mirrored', shadow === null ? '–' : rate(now?.['mirrored']))}
    ${number('compared', rate(now?.['compared']))}
    ${number('lag', shadow === null ? '–' : milliseconds(mirror.lagMs), mirror.lagMs > LAG_MS ? 'bad' : '')}
    ${number('backlog', count(mirror.backlog) + (mirror.backlogBytes === 0 ? '' : ` (${bytes(mirror.backlogBytes)})`))}
    ${number('dirty keys', count(mirror.dirtyKeys), mirror.dirtyKeys > 0 ? 'warn' : '')}
    ${number('mismatches, 10 min', share === null ? '–' : percent(share), share !== null && share > 0 ? 'bad' : share === 0 ? 'good' : '')}
  </dl>`
}

/** @param {string} label @param {string} value @param {string} [tone] */
function number(label, value, tone = '') {
  return html`<div><dt>${label}</dt><dd class=${tone}>${value}</dd></div>`
}

/** No gate is closed by these, and yet: who goes on now should know.  @param {string} name @param {RouteStatus} route @param {State} state */
function cautions(name, { mirror, compare, shadow, problems }, { status, patterns }) {
  const { compared, mismatched } = compare.rates['10m']
  const isOpen = patterns.some(({ route, acknowledged }) => route === name && acknowledged === null)
  const mends = [
    ...(shadow !== null && status?.stores[shadow]?.up === false ? [`the shadow ${shadow} is down`] : []),
    ...(mirror.lagMs > LAG_MS ? ['the shadow is behind'] : []),
    ...(problems?.some(({ verify }) => verify) ? ['the route needs a verify'] : []),
    ...(mirror.dirtyKeys > 0 ? [`${counted(mirror.dirtyKeys, 'key')} dirty`] : []),
  ]
  return html`${mends.length === 0 ? nothing : caution(html`${mends.join(', ')}: better wait until that is mended`)}
  ${mismatched === 0 || !isOpen ? nothing : caution(html`${count(mismatched)} of ${count(compared)} compared reads differed in ten minutes: look at <a href="#mismatches">mismatches</a> first`)}`
}

/** @param {unknown} text */
function caution(text) {
  return html`<p class="caution warn"><span aria-hidden="true">!</span> ${text}</p>`
}

/** @param {NextStep | undefined} step @param {Phase | undefined} next */
function gatesOf(step, next) {
  if (step === undefined || step.to !== next) return nothing
  if (step.error !== null) return html`<p class="gates bad"><span aria-hidden="true">✕</span> ${step.error}</p>`
  if (step.gates.length === 0) return html`<p class="gates quiet">The step to ${step.to} has no gate</p>`
  const closed = step.gates.filter(({ open }) => !open).length
  const words = `${counted(step.gates.length, 'gate')} to ${step.to}: ${closed === 0 ? 'all open' : `${count(closed)} closed`}`
  return html`<details class="gates">
    <summary class=${closed === 0 ? 'good' : 'bad'}>
      <span aria-hidden="true">${closed === 0 ? '✓' : '✕'}</span> ${words}
    </summary>
    ${gateList(step.gates)}
  </details>`
}
