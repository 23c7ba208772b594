import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { SetupError } from './setup-error.mjs'

/**
 * Debian's package starts a server on port 6379 and has it started at boot. Nobody asked for one: while packages are
 * installed, a policy of our own forbids that, unless the machine has one already.
 */
const APT = `
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\\nexit 101\\n' >"$policy" && chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends redis-server ||
    { apt-get update -q && apt-get install -y -q --no-install-recommends redis-server; } || exit 1
  if command -v systemctl >/dev/null; then systemctl disable redis-server >/dev/null 2>&1; fi
  exit 0`

const PACKAGE_MANAGERS = [
  { program: 'apt-get', asRoot: true, script: APT, byHand: 'apt-get install redis-server' },
  {
    program: 'dnf',
    asRoot: true,
    script: 'dnf install -y -q redis || dnf install -y -q valkey-compat-redis',
    byHand: 'dnf install redis',
  },
  { program: 'apk', asRoot: true, script: 'apk add --no-cache redis', byHand: 'apk add redis' },
  { program: 'brew', asRoot: false, script: 'brew install --quiet redis', byHand: 'brew install redis' },
]

/** Makes sure that there is a redis-server in PATH; installs it with the system's package manager, asking nothing. */
export function ensureRedisServer() {
  if (isInPath('redis-server')) return
  const manager = PACKAGE_MANAGERS.find(({ program }) => isInPath(program))
  if (!manager)
    throw new SetupError('redis-server is needed and missing: install Redis (https://redis.io/download) and try again.')

  const prefix = manager.asRoot ? rootPrefix() : []
  if (prefix === null) {
    throw new SetupError(`redis-server is needed and missing: run \`sudo ${manager.byHand}\` and try again.`)
  }
  console.error(`Installing redis-server (${manager.byHand}) ...`)
  const [program, ...args] = [...prefix, 'sh', '-c', manager.script]
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  if (isInPath('redis-server')) return
  const by = `${manager.asRoot && prefix.length > 0 ? 'sudo ' : ''}${manager.byHand}`
  throw new SetupError(
    `redis-server is needed and could not be installed: mend what follows, or run \`${by}\` by hand, and try again.\n` +
      `${stdout}${stderr}`.trim().split('\n').slice(-5).join('\n'),
  )
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
