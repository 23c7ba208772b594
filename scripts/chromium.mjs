import { SetupError } from './setup-error.mjs'
import { aptInstall, ensureProgram } from './system-packages.mjs'

/** Names that Chromium and what is built of it go by. `test/dashboard` looks for the same. */
const CHROMIUM_PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome']

const PACKAGE_MANAGERS = [
  { program: 'apt-get', asRoot: true, script: aptInstall('chromium'), byHand: 'apt-get install chromium' },
  { program: 'dnf', asRoot: true, script: 'dnf install -y -q chromium', byHand: 'dnf install chromium' },
  { program: 'apk', asRoot: true, script: 'apk add --no-cache chromium', byHand: 'apk add chromium' },
  { program: 'brew', asRoot: false, script: 'brew install --quiet chromium', byHand: 'brew install chromium' },
]

/**
 * Makes sure that there is a Chromium in PATH. Without one everything but the tests of the dashboard can be tested: that is said, and those tests fail
 * with the same sentence.
 */
export function ensureChromium() {
  try {
    ensureProgram({
      name: 'Chromium',
      programs: CHROMIUM_PROGRAMS,
      managers: PACKAGE_MANAGERS,
      otherwise: 'install it (https://www.chromium.org/getting-involved/download-chromium)',
    })
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    console.error(`${error.message}\nThe tests of the dashboard will fail until then.`)
  }
}
