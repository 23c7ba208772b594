const KEY = 'understudy-theme'
const THEMES = /** @type {const} */ (['auto', 'light', 'dark'])

/** `auto` follows the system. @returns {(typeof THEMES)[number]} */
export function currentTheme() {
  const stored = localStorage.getItem(KEY)
  return THEMES.find((theme) => theme === stored) ?? 'auto'
}

export function nextTheme() {
  const next = THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length] ?? 'auto'
  localStorage.setItem(KEY, next)
  apply()
}

function apply() {
  const theme = currentTheme()
  if (theme === 'auto') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = theme
}

apply()
