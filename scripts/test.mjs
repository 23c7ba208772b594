// npm test [-- ARGS]: installs what is missing, then runs every test (ARGS are vitest's).
import { delimiter, join } from 'node:path'
import { run } from './run.mjs'
import { root, setUp } from './setup.mjs'
import { orExplain } from './setup-error.mjs'

await orExplain(async () => {
  const node = setUp({ redisServer: true, chromium: true })
  // Set by .ci/run: where to write the results for a machine, beside the report for people.
  const results = process.env.UNDERSTUDY_TEST_RESULTS
  const reporters = results ? ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`] : []
  const args = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...reporters, ...process.argv.slice(2)]
  const path = `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}`
  await run(node, args, { cwd: root, env: { ...process.env, PATH: path } })
})
