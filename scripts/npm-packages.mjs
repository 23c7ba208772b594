import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pause, pausesBetweenTries } from './machine.mjs'
import { findNode, NODE_MAJOR } from './node-runtime.mjs'
import { SetupError } from './setup-error.mjs'

/**
 * Makes node_modules what package-lock.json says and gives the Node that runs the product. Takes some milliseconds when
 * there is nothing to do.
 */
export function ensurePackages(root) {
  if (!isInstalled(root)) install(root)
  const node = findNode(root)
  if (node !== null) return node
  throw new SetupError(
    `Node ${NODE_MAJOR} is needed: npm's \`node\` package brings it, but its copy does not run on this system ` +
      `(${process.platform} ${process.arch}). Install Node ${NODE_MAJOR} or later from https://nodejs.org and try again.`,
  )
}

/** npm writes down what it installed; optional packages may be missing on this platform. */
function isInstalled(root) {
  const wanted = packagesIn(join(root, 'package-lock.json'))
  const installed = packagesIn(join(root, 'node_modules/.package-lock.json'))
  if (wanted === null) throw new SetupError(`${join(root, 'package-lock.json')} cannot be read; check the clone.`)
  if (installed === null) return false
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === '' || optional || installed[path]?.version === version,
  )
}

function packagesIn(lockFile) {
  try {
    return JSON.parse(readFileSync(lockFile, 'utf8')).packages
  } catch {
    return null
  }
}

/**
 * Not `npm ci`: it refuses a lock file that lacks the optional packages of other platforms, which registries do not
 * always have. This installs the locked versions, checks their hashes, and leaves the lock file as it is.
 */
function install(root) {
  console.error('Installing npm packages ...')
  const args = ['install', '--no-save', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  const npm = process.env.npm_execpath
  const [program, prefix] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []]
  const npmInstall = () => spawnSync(program, [...prefix, ...args], { cwd: root, encoding: 'utf8' })
  let result = npmInstall()
  for (const seconds of pausesBetweenTries()) {
    if (result.status === 0) return
    pause(seconds)
    result = npmInstall()
  }
  const { status, error, stdout, stderr } = result
  if (status === 0) return
  const said = error ? error.message : `${stdout}${stderr}`.trim()
  throw new SetupError(
    `The npm packages could not be installed; is the registry reachable? \`npm install\` said:\n${said}`,
  )
}
