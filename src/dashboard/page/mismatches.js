import { html, nothing } from 'lit-html'
import { live } from 'lit-html/directives/live.js'
import { repeat } from 'lit-html/directives/repeat.js'
import { ask } from './api.js'
import { count, counted, time } from './format.js'
import { loadMismatches, MAX_PATTERNS } from './loading.js'
import { notify, update } from './state.js'

/** @typedef {import('../shapes.js').Mismatch} Mismatch */

/** What is typed into the reason of a group, by its number; gone when it is acknowledged. @type {Map<number, string>} */
const reasons = new Map()

/** Not for ever: what is known today may be another difference next month. */
const DEFAULT_UNTIL = '1 week'
const UNTIL = { '1 hour': 3600, '1 day': 86_400, '1 week': 7 * 86_400 }

/** Phases in which sampled reads are compared. @type {readonly import('../shapes.js').Phase[]} */
const COMPARING = ['shadow', 'read-target', 'switched']

/** @param {import('./state.js').State} state */
export function mismatchesSection({ patterns, status }) {
  const routes = Object.values(status?.routes ?? {})
  const compared = routes.reduce((sum, { compare }) => sum + compare.compared, 0)
  const differed = routes.reduce((sum, { compare }) => sum + compare.mismatched, 0)
  const none = routes.some(({ phase }) => COMPARING.includes(phase))
    ? 'No read has been compared yet.'
    : 'Nothing is compared yet: that begins with the phase shadow.'
  return html`<section id="mismatches" aria-labelledby="mismatches-title">
    <h2 id="mismatches-title">Mismatches</h2>
    ${
      patterns.length === 0
        ? html`<p class="quiet">
          ${compared === 0 ? none : noneOf(compared, differed)}
        </p>`
        : html`<ul class="patterns">
          ${repeat(patterns, ({ id }) => id, patternRow)}
        </ul>
        ${patterns.length < MAX_PATTERNS ? nothing : html`<p class="quiet">The latest ${count(MAX_PATTERNS)}; <code>understudy mismatches</code> lists all.</p>`}`
    }
  </section>`
}

/** What was mended stays in the counts.  @param {number} compared @param {number} differed */
function noneOf(compared, differed) {
  const reads = counted(compared, 'compared read')
  return differed === 0
    ? `None in ${reads}.`
    : `None is listed any more. Since the start ${count(differed)} of ${reads} differed.`
}

/** @param {Mismatch} pattern */
function patternRow(pattern) {
  const { route, command, class: of, firstSeen, lastSeen, acknowledged } = pattern
  return html`<li class=${acknowledged === null ? '' : 'acknowledged'}>
    <details>
      <summary>
        <span class="class">${of}</span>
        <code class="pattern">${pattern.pattern}</code>
        <span class="quiet">${command} · ${route} · ${count(pattern.count)} × on ${counted(pattern.keys, 'key')} · last ${time(lastSeen)}</span>
        ${acknowledged === null ? nothing : html`<span class="pill">acknowledged</span>`}
      </summary>
      <p>${pattern.detail}${pattern.cause === null ? '' : ` (${pattern.cause})`} First seen ${time(firstSeen)}, last with the key <code>${pattern.key}</code>.</p>
      ${pattern.paths.length === 0 ? nothing : html`<p>JSON paths that differ: ${pattern.paths.map((path) => html`<code>${path}</code> `)}</p>`}
      <div class="diff">
        <div>
          <h4>Primary</h4>
          <pre tabindex="0" aria-label="Value of the primary">${marked(pattern.primary, pattern.shadow)}</pre>
        </div>
        <div>
          <h4>Shadow</h4>
          <pre tabindex="0" aria-label="Value of the shadow">${marked(pattern.shadow, pattern.primary)}</pre>
        </div>
      </div>
      ${acknowledged === null ? acknowledgeForm(pattern) : acknowledgedNote(pattern)}
    </details>
  </li>`
}

/** `text` with what differs from `other` marked: what stands between the beginning and the end that both share.  @param {string} text @param {string} other */
function marked(text, other) {
  const shorter = Math.min(text.length, other.length)
  let begin = 0
  while (begin < shorter && text[begin] === other[begin]) begin++
  let end = 0
  while (end < shorter - begin && text[text.length - 1 - end] === other[other.length - 1 - end]) end++
  const middle = text.slice(begin, text.length - end)
  return html`${text.slice(0, begin)}${middle === '' ? nothing : html`<mark>${middle}</mark>`}${text.slice(text.length - end)}`
}

/** @param {Mismatch} pattern */
function acknowledgeForm(pattern) {
  const { id } = pattern
  return html`<form class="acknowledge" @submit=${(/** @type {SubmitEvent} */ event) => acknowledge(event, pattern)}>
    <label class="field">
      <span>Known because</span>
      <input
        name="reason"
        required
        maxlength="500"
        autocomplete="off"
        .value=${live(reasons.get(id) ?? '')}
        @input=${(/** @type {Event} */ event) => reasons.set(id, /** @type {HTMLInputElement} */ (event.target).value)}
      />
    </label>
    <label class="field">
      <span>for</span>
      <select name="until">
        ${Object.entries(UNTIL).map(([label, seconds]) => html`<option value=${seconds} ?selected=${label === DEFAULT_UNTIL}>${label}</option>`)}
        <option value="">ever</option>
      </select>
    </label>
    <button type="submit">Acknowledge</button>
  </form>`
}

/** @param {SubmitEvent} event @param {Mismatch} pattern */
async function acknowledge(event, { id, pattern }) {
  event.preventDefault()
  const form = new FormData(/** @type {HTMLFormElement} */ (event.target))
  const seconds = Number(form.get('until'))
  const until = seconds > 0 ? { until: new Date(Date.now() + 1000 * seconds).toISOString() } : {}
  try {
    const reason = String(form.get('reason')).trim()
    await ask('/api/v1/acknowledgements', { method: 'POST', body: { mismatch: id, reason, ...until } })
    reasons.delete(id)
    notify(`Mismatches of ${pattern} are acknowledged: they count in no rate.`)
    await loadMismatches()
  } catch (error) {
    notify(error instanceof Error ? error.message : String(error), 'bad')
  }
  update()
}

/** @param {Mismatch} pattern */
function acknowledgedNote(pattern) {
  const { acknowledged } = pattern
  return html`<p class="quiet">
    Acknowledged${acknowledged?.until == null ? '' : ` until ${time(acknowledged.until)}`}: ${acknowledged?.reason}
    <button type="button" @click=${() => takeBack(pattern)}>Take it back</button>
  </p>`
}

/** Removes what covers the mismatch; what stands in the configuration file is taken out there.  @param {Mismatch} mismatch */
async function takeBack(mismatch) {
  try {
    /** @type {import('../../admin/control.ts').AcknowledgementView[]} */
    const all = await ask('/api/v1/acknowledgements')
    const covers = all.filter((known) =>
      /** @type {const} */ (['route', 'pattern', 'command', 'class']).every(
        (field) => known[field] === null || known[field] === mismatch[field],
      ),
    )
    for (const { id } of covers) {
      if (id === null) notify('It stands in the configuration file: take it out there.', 'bad')
      else await ask(`/api/v1/acknowledgements/${id}`, { method: 'DELETE' })
    }
    await loadMismatches()
  } catch (error) {
    notify(error instanceof Error ? error.message : String(error), 'bad')
  }
}
