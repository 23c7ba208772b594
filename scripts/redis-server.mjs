import { aptInstall, ensureProgram } from './system-packages.mjs'

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
  ${aptInstall('redis-server')}
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

/** Makes sure that there is a redis-server in PATH. */
export function ensureRedisServer() {
  ensureProgram({
    name: 'redis-server',
    programs: ['redis-server'],
    managers: PACKAGE_MANAGERS,
    otherwise: 'install Redis (https://redis.io/download)',
  })
}
