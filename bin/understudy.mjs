#!/usr/bin/env node
// Runs Understudy whatever Node the system has: the sources in a checkout, what was built from them in a package.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const inCheckout = existsSync(join(root, 'src/main.ts'))
const main = join(root, inCheckout ? 'src/main.ts' : 'dist/main.js')

if (Number.parseInt(process.versions.node, 10) >= 26) {
  process.argv[1] = main
  await import(pathToFileURL(main).href)
} else if (inCheckout) {
  const { run } = await import('../scripts/run.mjs')
  const { setUp } = await import('../scripts/setup.mjs')
  const { orExplain } = await import('../scripts/setup-error.mjs')
  await orExplain(() => run(setUp({ redisServer: false }), [main, ...process.argv.slice(2)]))
} else {
  console.error(`Understudy needs Node 26 or later; this is ${process.versions.node}. See https://nodejs.org`)
  process.exitCode = 3
}
