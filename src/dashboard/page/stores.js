import { html } from 'lit-html'
import { counted, milliseconds, time } from './format.js'

/** Routes that are named of a store. */
const MAX_NAMED = 4

/** @param {import('./state.js').State} state */
export function storesSection({ status }) {
  const routes = Object.entries(status?.routes ?? {})
  const rolesOf = (/** @type {string} */ store) => {
    const roles = /** @type {const} */ (['primary', 'shadow']).flatMap((role) => {
      const names = routes.filter(([, route]) => route[role] === store).map(([name]) => name)
      if (names.length === 0) return []
      const more = names.length > MAX_NAMED ? ` and ${counted(names.length - MAX_NAMED, 'route')} more` : ''
      return [`${role} of ${names.slice(0, MAX_NAMED).join(', ')}${more}`]
    })
    return roles.length === 0 ? 'in no use' : roles.join('; ')
  }
  return html`<section id="stores" aria-labelledby="stores-title">
    <h2 id="stores-title">Stores</h2>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="stores-title">
      <table>
        <thead>
          <tr>
            <th scope="col">store</th>
            <th scope="col">health</th>
            <th scope="col">ping</th>
            <th scope="col">version</th>
            <th scope="col">says it is</th>
            <th scope="col">here it is</th>
          </tr>
        </thead>
        <tbody>
          ${Object.entries(status?.stores ?? {}).map(
            ([name, { up, latencyMs, version, valkeyVersion, role, error, sentinel, cluster }]) =>
              html`<tr>
                <th scope="row">${name}</th>
                <td class=${up ? 'good' : 'bad'}>${up ? 'up' : 'down'}${error === null ? '' : `: ${error}`}</td>
                <td>${up ? milliseconds(latencyMs) : '–'}</td>
                <td>${valkeyVersion ? `valkey ${valkeyVersion}` : (version ?? '–')}</td>
                <td>${role ?? '–'}</td>
                <td>${rolesOf(name)}${sentinel ? foundBy(sentinel) : ''}${cluster ? nodesOf(cluster) : ''}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`
}

/** @param {NonNullable<import('../shapes.js').Status['stores'][string]['cluster']>} cluster */
function nodesOf({ nodes }) {
  const masters = nodes.filter(({ role }) => role === 'master')
  const served = masters.reduce((sum, { up, slots }) => sum + (up ? slots : 0), 0)
  return html`<div class="quiet">
      ${counted(masters.length, 'master')}, ${counted(nodes.length - masters.length, 'replica')}, ${served} of 16384 slots are
      served
    </div>
    ${nodes
      .filter(({ up }) => !up)
      .map(({ address, role }) => html`<div class="bad">${role} ${address} does not answer</div>`)}`
}

/** @param {NonNullable<import('../shapes.js').Status['stores'][string]['sentinel']>} sentinel */
function foundBy({ name, primary, sentinels, answering, failovers, lastFailoverAt }) {
  const moved =
    lastFailoverAt === null ? '' : `; ${counted(failovers, 'failover')}, the last at ${time(lastFailoverAt)}`
  return html`<div class=${answering === 0 ? 'bad' : 'quiet'}>
    “${name}” of ${answering} of ${sentinels} Sentinels, at ${primary ?? 'an unknown address'}${moved}
  </div>`
}
