import { html, nothing } from 'lit-html'
import { repeat } from 'lit-html/directives/repeat.js'
import { ask } from './api.js'
import { count, duration, percent, rate, time } from './format.js'
import { loadJobs, MAX_JOBS } from './loading.js'
import { notify } from './state.js'

/** @typedef {import('../shapes.js').Job} Job */

/** Shown apart, and not among the outcomes. */
const NO_OUTCOMES = ['done', 'total', 'rate', 'etaSeconds']

/** Not cleanup: what deletes keys is started where its backup is named, on the command line. */
const STARTED_HERE = ['backfill', 'verify', 'repair']

/** Which buttons a state has. @type {Record<string, ('pause' | 'resume' | 'cancel')[]>} */
const ACTIONS = { queued: ['cancel'], running: ['pause', 'cancel'], paused: ['resume', 'cancel'], failed: ['resume'] }

/** @param {import('./state.js').State} state */
export function jobsSection({ jobs, routes }) {
  return html`<section id="jobs" aria-labelledby="jobs-title">
    <h2 id="jobs-title">Jobs</h2>
    ${
      jobs.length === 0
        ? html`<p class="quiet">None yet.</p>`
        : html`<ul class="jobs">
          ${repeat(jobs, ({ id }) => id, jobRow)}
        </ul>
        ${jobs.length < MAX_JOBS ? nothing : html`<p class="quiet">The newest ${count(MAX_JOBS)}; <code>understudy jobs</code> lists all.</p>`}`
    }
    <form class="start-job" @submit=${start}>
      <label class="field">
        <span>Job</span>
        <select name="kind">
          ${STARTED_HERE.map((kind) => html`<option>${kind}</option>`)}
        </select>
      </label>
      <label class="field">
        <span>of route</span>
        <select name="route">
          ${routes.map(({ name }) => html`<option>${name}</option>`)}
        </select>
      </label>
      <label class="check"><input type="checkbox" name="dryRun" /> dry run</label>
      <button type="submit">Start</button>
    </form>
  </section>`
}

/** @param {Job} job */
function jobRow(job) {
  const { id, kind, route, state, progress, throttle, error, startedAt, finishedAt, report } = job
  const { done = 0, total = null } = progress
  const share = total === null || total === 0 ? null : Math.min(1, (done ?? 0) / total)
  // As `isDryRun` has it.
  const dry = job.options.dryRun ?? kind === 'cleanup'
  const outcomes = Object.entries(progress)
    .filter(([name, value]) => !NO_OUTCOMES.includes(name) && (value ?? 0) > 0)
    .map(
      ([name, value]) => `${dry && /^(copied|repaired|deleted)$/.test(name) ? 'would be ' : ''}${name} ${count(value)}`,
    )
  const bar = state === 'done' ? 1 : share
  return html`<li data-job=${id} data-state=${state}>
    <div class="job-head">
      <h3>${kind} of ${route} <span class="quiet">#${id}${dry ? ', dry run' : ''}</span></h3>
      <span class="pill ${state}">${state}</span>
      ${(ACTIONS[state] ?? []).map(
        (action) =>
          html`<button type="button" @click=${() => steer(job, action)}>
            ${action}<span class="visually-hidden"> the ${kind} of ${route}</span>
          </button>`,
      )}
    </div>
    <progress max="1" .value=${bar ?? 0} aria-label=${`Progress of the ${kind} of ${route}`}></progress>
    <p class="quiet">
      ${count(done)}${total === null ? '' : ` of ${count(total)}`} keys seen${share === null ? '' : ` (${percent(share)})`}
      ${state === 'running' ? html`· ${rate(progress['rate'])} · ${progress['etaSeconds'] == null ? '' : `${duration(progress['etaSeconds'])} left`}` : nothing}
      ${outcomes.map((outcome) => html`· ${outcome} `)}
      ${finishedAt === null ? html`· began ${time(startedAt)}` : html`· ended ${time(finishedAt)}`}
    </p>
    ${throttle === null ? nothing : html`<p class="warn">Held back: ${throttle}</p>`}
    ${report === null ? nothing : html`<p class=${report.clean ? 'good' : 'warn'}>${report.summary}</p>`}
    ${error === null ? nothing : html`<p class="bad">${error}</p>`}
  </li>`
}

/** @param {Job} job @param {string} action */
async function steer({ id, kind, route }, action) {
  // The one that cannot be taken back.
  if (action === 'cancel' && !confirm(`Cancel the ${kind} of ${route}? What it has done stays; it cannot be resumed.`))
    return
  await tell(async () => {
    await ask(`/api/v1/jobs/${id}`, { method: 'PATCH', body: { action } })
    await loadJobs()
  })
}

/** @param {SubmitEvent} event */
async function start(event) {
  event.preventDefault()
  const form = new FormData(/** @type {HTMLFormElement} */ (event.target))
  const kind = form.get('kind')
  const options = form.has('dryRun') && kind !== 'verify' ? { dryRun: true } : {}
  const body = { kind, route: form.get('route'), options }
  await tell(async () => {
    await ask('/api/v1/jobs', { method: 'POST', body })
    await loadJobs()
  })
}

/** @param {() => Promise<void>} work */
async function tell(work) {
  try {
    await work()
  } catch (error) {
    notify(error instanceof Error ? error.message : String(error), 'bad')
  }
}
