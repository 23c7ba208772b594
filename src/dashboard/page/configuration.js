import { html } from 'lit-html'
import { ApiError, ask } from './api.js'
import { time } from './format.js'
import { loadAll } from './loading.js'
import { notify } from './state.js'

/** @param {import('./state.js').State} state */
export function configurationSection({ status, config }) {
  const last = status?.lastReload
  return html`<section id="configuration" aria-labelledby="configuration-title">
    <div class="section-head">
      <h2 id="configuration-title">Configuration</h2>
      <button type="button" @click=${() => reload()}>Reload the file</button>
    </div>
    <p class=${last?.successful === false ? 'bad' : 'quiet'}>
      ${
        last === undefined
          ? ''
          : last.successful
            ? `In force since ${time(last.at)}: ${status?.configHash}, epoch ${status?.epoch}.`
            : `The reload at ${time(last.at)} failed, the configuration before it is in force: ${last.error ?? ''}`
      }
    </p>
    <details>
      <summary>What is in force, secrets hidden</summary>
      <pre tabindex="0" aria-label="Configuration in force">${config === null ? '' : JSON.stringify(config, null, 2)}</pre>
    </details>
  </section>`
}

/** @param {{ force: true, reason: string }} [body] */
async function reload(body) {
  try {
    const { changed, epoch, needsRestart } = await ask('/api/v1/config/reload', { method: 'POST', body })
    const later = needsRestart?.length > 0 ? `, but for what applies after a restart: ${needsRestart.join(', ')}` : ''
    notify(
      changed
        ? `The file is in force now${later} (epoch ${epoch}).`
        : `The file says what is in force already${later}.`,
    )
    await loadAll()
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    notify(text, 'bad')
    if (!(error instanceof ApiError) || error.code !== 'GATE_CLOSED') return
    const reason = prompt(`${text}\n\nTo reload although gates are closed (writes may be lost), say why:`)?.trim()
    if (reason) await reload({ force: true, reason })
  }
}
