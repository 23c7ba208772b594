import { html, nothing } from 'lit-html'
import { PHASES } from './phases.js'

/** What each phase means, for the tip of a step. */
const MEANING = {
  passthrough: 'the source alone',
  mirror: 'writes go to the target too',
  shadow: 'sampled reads are compared',
  'read-target': 'reads come from the target',
  switched: 'the target is primary, the source follows',
  done: 'the target alone',
}

/** @param {string} name @param {import('../shapes.js').Phase} phase */
export function track(name, phase) {
  const at = PHASES.indexOf(phase)
  return html`<ol class="track" aria-label=${`Phase of ${name}: ${phase}, step ${at + 1} of ${PHASES.length}`}>
    ${PHASES.map(
      (step, i) =>
        html`<li class=${i < at ? 'past' : i === at ? 'now' : 'ahead'} aria-current=${i === at ? 'step' : nothing} title=${MEANING[step]}>
          <span>${step}</span>
        </li>`,
    )}
  </ol>`
}

/** Each gate in words and colour: open or closed, and why.  @param {import('../shapes.js').PhaseResult['gates']} gates */
export function gateList(gates) {
  return html`<ul class="gate-list">
    ${gates.map(
      ({ open, reason }) =>
        html`<li class=${open ? 'good' : 'bad'}>
          <span aria-hidden="true">${open ? '✓' : '✕'}</span>
          <span class="visually-hidden">${open ? 'open:' : 'closed:'}</span> ${reason}
        </li>`,
    )}
  </ul>`
}
