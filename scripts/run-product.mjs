import { join } from 'node:path'
import { run } from './run.mjs'
import { root } from './setup.mjs'

/**
 * Of the main thread, in MB: what it does is done soon, and V8 would let its young generation grow to several times this before it collects (docs/decisions/0047). Only the
 * command line can say so.
 */
export const NODE_ARGUMENTS = ['--max-semi-space-size=4']

/** Runs `understudy ARGS` from the sources by `node`, which is new enough for them, in this process' place. */
export function runProduct(node, args) {
  return run(node, [...NODE_ARGUMENTS, join(root, 'bin/understudy.mjs'), ...args])
}
