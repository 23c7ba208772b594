// npm run demo: installs what is missing, then plays a migration of a key schema on a Redis of its own.
import { join } from 'node:path'
import { run } from './run.mjs'
import { root, setUp } from './setup.mjs'
import { orExplain } from './setup-error.mjs'

await orExplain(async () => {
  const node = setUp({ redisServer: true })
  await run(node, [join(root, 'demo/main.ts')])
})
