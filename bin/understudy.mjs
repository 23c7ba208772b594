#!/usr/bin/env node
// Runs Understudy whatever Node the system has: the sources in a checkout, what was built from them in a package.
import { existsSync } from 'node:fs'
import module from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const inCheckout = existsSync(join(root, 'src/main.ts'))

if (Number.parseInt(process.versions.node, 10) >= 26) {
  const main = join(root, inCheckout ? 'src/main.ts' : 'dist/main.js')
  rememberCompiledCode()
  process.argv[1] = main
  await import(pathToFileURL(main).href)
} else if (inCheckout) {
  const { runProduct } = await import('../scripts/run-product.mjs')
  const { setUp } = await import('../scripts/setup.mjs')
  const { orExplain } = await import('../scripts/setup-error.mjs')
  await orExplain(() => runProduct(setUp({ redisServer: false }), process.argv.slice(2)))
} else {
  console.error(`Understudy needs Node 26 or later; this is ${process.versions.node}. See https://nodejs.org`)
  process.exitCode = 3
}

/**
 * What Node has compiled (and stripped of its types) is kept for the next start, beside the code: who can write there can change the code itself. Where nobody can, it is compiled each time. The thread of the data path
 * finds the place in its environment.
 */
function rememberCompiledCode() {
  process.env.NODE_COMPILE_CACHE ??= join(root, inCheckout ? 'node_modules/.cache/understudy' : 'dist/.cache')
  module.enableCompileCache(process.env.NODE_COMPILE_CACHE)
}
