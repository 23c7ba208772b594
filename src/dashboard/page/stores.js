import { html } from 'lit-html'
import { counted, milliseconds, time } from './format.js'

/** @param {import('./state.js').State} state */
export function storesSection({ status }) {
  const rolesOf = (/** @type {string} */ store) => {
    const roles = Object.entries(status?.routes ?? {}).flatMap(([route, { primary, shadow }]) =>
      primary === store ? [`primary of ${route}`] : shadow === store ? [`shadow of ${route}`] : [],
    )
    return roles.length === 0 ? 'in no use' : roles.length > 4 ? `${roles.slice(0, 4).join(', ')} …` : roles.join(', ')
  }
  return html`<section id="stores" aria-labelledby="stores-title">
    <h2 id="stores-title">Stores</h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="stores-title">
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
            ([name, { up, latencyMs, version, role, error, sentinel }]) =>
              html`<tr>
                <th scope="row">${name}</th>
                <td class=${up ? 'good' : 'bad'}>${up ? 'up' : `down${error === null ? '' : `: ${error}`}`}</td>
                <td>${milliseconds(latencyMs)}</td>
                <td>${version ?? '–'}</td>
                <td>${role ?? '–'}</td>
                <td>${rolesOf(name)}${sentinel === null ? '' : foundBy(sentinel)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`
}

/** @param {NonNullable<import('./types.js').Status['stores'][string]['sentinel']>} sentinel */
function foundBy({ name, primary, sentinels, answering, failovers, lastFailoverAt }) {
  const moved =
    lastFailoverAt === null ? '' : `; ${counted(failovers, 'failover')}, the last at ${time(lastFailoverAt)}`
  return html`<div class=${answering === 0 ? 'bad' : 'quiet'}>
    “${name}” of ${answering} of ${sentinels} Sentinels, at ${primary ?? 'an unknown address'}${moved}
  </div>`
}
