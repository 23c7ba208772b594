import { html, nothing, render } from 'lit-html'
import { ask } from './api.js'
import { milliseconds } from './format.js'
import { loadAll } from './loading.js'
import { gateList, track } from './phase-track.js'
import { PHASES } from './phases.js'
import { notify, state } from './state.js'

/** @typedef {import('../shapes.js').Phase} Phase */

/**
 * The dialog that changes a phase: first what it would mean (a dry run), then a reason, then the change itself.
 *
 *     dry run ─▶ consequences, gates ─▶ reason ─▶ change ─▶ done, with the way back on the same screen
 *
 * @type {{ route: string, from: Phase, to: Phase, dryRun: any, error: string | null, busy: boolean, reason: string, force: boolean } | null}
 */
let open = null

/** Gates open and close while somebody thinks about it. */
const ASK_AGAIN_MS = 4_000

/** @param {string} route @param {Phase} to */
export function openPhaseDialog(route, to) {
  const from = state.status?.routes[route]?.phase
  if (from === undefined) return
  open = { route, from, to, dryRun: null, error: null, busy: false, reason: '', force: false }
  draw()
  dialog().showModal()
  void askWhatWouldHappen()
  const asking = setInterval(() => {
    if (open === null) clearInterval(asking)
    else if (!open.busy) void askWhatWouldHappen()
  }, ASK_AGAIN_MS)
}

function dialog() {
  return /** @type {HTMLDialogElement} */ (document.querySelector('#dialogs dialog'))
}

function close() {
  dialog().close()
}

async function askWhatWouldHappen() {
  const asked = open
  if (asked === null) return
  try {
    const dryRun = await changePhase(asked, { dryRun: true })
    if (open === asked) open.dryRun = dryRun
  } catch (error) {
    if (open === asked && asked.dryRun === null) open.error = textOf(error)
  }
  draw()
}

/** @param {SubmitEvent} event */
async function change(event) {
  event.preventDefault()
  const asked = open
  if (asked === null || asked.busy) return
  asked.busy = true
  asked.error = null
  draw()
  try {
    const reason = asked.reason.trim()
    const result = await changePhase(asked, {
      ...(reason === '' ? {} : { reason }),
      ...(asked.force ? { force: true } : {}),
    })
    const pause = result.pauseMs === null ? '' : `; commands were held for ${milliseconds(result.pauseMs)}`
    notify(`${asked.route} is in ${asked.to} now (before: ${asked.from})${pause}.`)
    close()
    await loadAll()
  } catch (error) {
    if (open !== asked) {
      // The dialog was closed while the switch was under way: what became of it has to be said all the same.
      notify(`${asked.route} to ${asked.to}: ${textOf(error)}`, 'bad')
      return
    }
    asked.error = textOf(error)
    asked.busy = false
    draw()
    if (!asked.force) void askWhatWouldHappen()
  }
}

/** @param {{ route: string, to: Phase }} change @param {object} options */
function changePhase({ route, to }, options) {
  return ask(`/api/v1/routes/${encodeURIComponent(route)}/phase`, { method: 'PUT', body: { phase: to, ...options } })
}

/** @param {unknown} error */
function textOf(error) {
  return error instanceof Error ? error.message : String(error)
}

function draw() {
  const host = /** @type {HTMLElement} */ (document.querySelector('#dialogs'))
  render(
    html`<dialog aria-labelledby="phase-title" @close=${() => {
      open = null
    }}>
      ${open === null ? nothing : content(open)}
    </dialog>`,
    host,
  )
}

/** @param {NonNullable<typeof open>} change_ */
function content(change_) {
  const { route, from, to, dryRun, error, busy, reason, force } = change_
  const backwards = PHASES.indexOf(to) < PHASES.indexOf(from)
  const closedGates = dryRun?.closedGates ?? []
  const needsReason = !backwards || force
  const ready =
    dryRun !== null && !busy && (closedGates.length === 0 || force) && (!needsReason || reason.trim() !== '')
  return html`<form @submit=${change}>
    <h2 id="phase-title">${backwards ? 'Take' : 'Move'} ${route} ${backwards ? 'back' : 'on'} to ${to}</h2>
    <label class="field">
      <span>Phase</span>
      <select .value=${to} ?disabled=${busy} @change=${(/** @type {Event} */ event) => choose(event)}>
        ${PHASES.filter((phase) => phase !== from).map((phase) => html`<option value=${phase} ?selected=${phase === to}>${phase}</option>`)}
      </select>
    </label>
    ${track(route, to)}
    <div aria-live="polite">
      ${
        dryRun === null
          ? error === null
            ? html`<p class="quiet">Asking what would happen …</p>`
            : nothing
          : html`<h3>What it means</h3>
            <ul>
              ${dryRun.consequences.map((/** @type {string} */ text) => html`<li>${text}</li>`)}
            </ul>
            <h3>Gates</h3>
            ${
              dryRun.gates.length === 0
                ? html`<p class="good"><span aria-hidden="true">✓</span> Nothing stands in the way.</p>`
                : gateList(dryRun.gates)
            }`
      }
    </div>
    ${
      closedGates.length === 0
        ? nothing
        : html`<label class="check">
          <input type="checkbox" .checked=${force} @change=${(/** @type {Event} */ event) => set('force', /** @type {HTMLInputElement} */ (event.target).checked)} />
          Change it although gates are closed. Writes may be lost.
        </label>`
    }
    <label class="field">
      <span>Reason${needsReason ? '' : ' (may be empty on the way back)'}</span>
      <input
        name="reason"
        autocomplete="off"
        maxlength="500"
        ?required=${needsReason}
        .value=${reason}
        @input=${(/** @type {Event} */ event) => set('reason', /** @type {HTMLInputElement} */ (event.target).value)}
      />
    </label>
    ${error === null ? nothing : html`<p class="notice bad" role="alert">${error}</p>`}
    <div class="buttons">
      <button type="button" @click=${close}>Cancel</button>
      <button type="submit" class=${force ? 'danger' : 'primary'} ?disabled=${!ready}>
        ${busy ? 'Changing …' : `Change to ${to}`}
      </button>
    </div>
  </form>`
}

/** @param {Event} event */
function choose(event) {
  if (open === null) return
  const to = /** @type {Phase} */ (/** @type {HTMLSelectElement} */ (event.target).value)
  open = { ...open, to, dryRun: null, error: null, force: false }
  draw()
  void askWhatWouldHappen()
}

/** @param {'reason' | 'force'} name @param {string | boolean} value */
function set(name, value) {
  if (open === null) return
  Object.assign(open, { [name]: value })
  draw()
}
