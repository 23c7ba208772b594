// npm start [-- ARGS]: installs what is missing, then runs `understudy serve ARGS`.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runProduct } from './run-product.mjs'
import { root, setUp } from './setup.mjs'
import { orExplain } from './setup-error.mjs'

await orExplain(async () => {
  const args = process.argv.slice(2)
  const node = setUp({ redisServer: hasManagedStore(args) })
  await runProduct(node, ['serve', ...args])
})

/** Nothing is installed into the system for a configuration whose stores run elsewhere. */
function hasManagedStore(args) {
  if (args.some((arg) => arg.includes('managed:'))) return true
  if (args.some((arg) => /^--(source|target)\b/.test(arg))) return false
  const at = args.findIndex((arg) => /^(--config|-c)$/.test(arg))
  const joined = args.find((arg) => arg.startsWith('--config='))
  const file =
    joined?.slice('--config='.length) ?? (at >= 0 ? args[at + 1] : undefined) ?? join(root, 'config/understudy.yaml')
  try {
    return readFileSync(file, 'utf8').includes('managed:')
  } catch {
    // The product says what is wrong with the file.
    return false
  }
}
