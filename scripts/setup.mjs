import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureChromium } from './chromium.mjs'
import { ensurePackages } from './npm-packages.mjs'
import { ensureRedisServer } from './redis-server.mjs'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/**
 * Installs what a bare clone lacks: npm packages (the Node that runs the product among them) and, where it is needed,
 * redis-server and Chromium. Gives the path of that Node. Throws SetupError with what to do. This and what it imports runs on the
 * system's Node 20 and depends on nothing that it would first have to install.
 */
export function setUp({ redisServer, chromium = false }) {
  const node = ensurePackages(root)
  if (redisServer) ensureRedisServer()
  if (chromium) ensureChromium()
  return node
}
