import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { pausesBetweenTries } from './machine.mjs'
import { SetupError } from './setup-error.mjs'

/**
 * @typedef {object} Manager how one package manager installs the program
 * @property {string} program
 * @property {boolean} asRoot
 * @property {string} script for /bin/sh
 * @property {string} byHand the command for people
 */

/**
 * Makes sure that one of `programs` is in PATH; installs it with the system's package manager, asking nothing.
 *
 * @param {{ name: string, programs: string[], managers: Manager[], otherwise: string }} options `otherwise`: what to do without a known package manager
 * @throws {SetupError} with what to do
 */
export function ensureProgram({ name, programs, managers, otherwise }) {
  const isThere = () => programs.some(isInPath)
  if (isThere()) return
  const manager = managers.find(({ program }) => isInPath(program))
  if (!manager) throw new SetupError(`${name} is needed and missing: ${otherwise} and try again.`)

  const prefix = manager.asRoot ? rootPrefix() : []
  if (prefix === null) {
    throw new SetupError(`${name} is needed and missing: run \`sudo ${manager.byHand}\` and try again.`)
  }
  console.error(`Installing ${name} (${manager.byHand}) ...`)
  const [program, ...args] = [...prefix, 'sh', '-c', manager.script]
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  if (isThere()) return
  const by = `${manager.asRoot && prefix.length > 0 ? 'sudo ' : ''}${manager.byHand}`
  throw new SetupError(
    `${name} is needed and could not be installed: mend what follows, or run \`${by}\` by hand, and try again.\n` +
      `${stdout}${stderr}`.trim().split('\n').slice(-5).join('\n'),
  )
}

/**
 * Installs a Debian package, with fresh lists only where the old ones do not do. Another apt on the machine is waited for.
 *
 * @param {string} name
 */
export function aptInstall(name) {
  return `
  export DEBIAN_FRONTEND=noninteractive
  apt() { apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@"; }
  package() { apt install -y --no-install-recommends ${name}; }
  for pause in ${[0, ...pausesBetweenTries()].join(' ')} end; do
    [ "$pause" != end ] || exit 1
    sleep "$pause"
    package || { apt update && package; } && break
  done`
}

/** What to put before a command so that it runs as root without a question; null when that is not possible. */
function rootPrefix() {
  if (process.getuid?.() === 0) return []
  if (isInPath('sudo') && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0) return ['sudo', '-n']
  return null
}

function isInPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory || '.', program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
