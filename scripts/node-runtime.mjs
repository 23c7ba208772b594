import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

/** The product's own minimum: type stripping without a flag, node:sqlite, reusePort. */
export const NODE_MAJOR = 26

/**
 * The Node that runs the product: the one that came from npm, or the one that runs this script if it is new enough.
 * Null when neither works.
 */
export function findNode(root) {
  for (const program of [
    join(root, 'node_modules/node/bin/node'),
    join(root, 'node_modules/.bin/node'),
    process.execPath,
  ]) {
    if (majorOf(program) >= NODE_MAJOR) return program
  }
  return null
}

function majorOf(program) {
  if (program === process.execPath) return Number.parseInt(process.versions.node, 10)
  try {
    const version = execFileSync(program, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return Number.parseInt(version.slice(1), 10)
  } catch {
    return 0
  }
}
