import { html, nothing } from 'lit-html'
import { ApiError, ask } from './api.js'
import { update } from './state.js'

/** @type {string | null} */
let problem = null

/**
 * The token is sent once, in the body; what stays in the browser is a cookie that no script can read.
 *
 * @param {() => void} onLogin
 */
export function loginPage(onLogin) {
  return html`<main class="login">
    <form @submit=${(/** @type {SubmitEvent} */ event) => login(event, onLogin)}>
      <h1>Understudy</h1>
      <label class="field">
        <span>Token (<code>admin.token</code> of the configuration)</span>
        <input type="password" name="token" required autofocus autocomplete="current-password" />
      </label>
      ${problem === null ? nothing : html`<p class="notice bad" role="alert">${problem}</p>`}
      <button type="submit" class="primary">Log in</button>
    </form>
  </main>`
}

/** @param {SubmitEvent} event @param {() => void} onLogin */
async function login(event, onLogin) {
  event.preventDefault()
  const form = /** @type {HTMLFormElement} */ (event.target)
  try {
    await ask('/api/v1/session', { method: 'POST', body: { token: new FormData(form).get('token') } })
    problem = null
    form.reset()
    onLogin()
  } catch (error) {
    problem = error instanceof ApiError ? error.message : String(error)
    update()
  }
}
