import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take longest: begun last, each would be waited for alone at the end. */
const LONGEST = [
  'test/product/crash',
  'test/mirror/copy/state-copy',
  'test/differential/',
  'test/jobs/',
  'test/dashboard/',
  'test/compare/',
  'test/product/',
  'test/config/checks/collisions',
]

/** A clone knows no durations of a former run, and then vitest begins with the largest files, which are not the slowest. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = LONGEST.findIndex((part) => moduleId.includes(part))
      return found === -1 ? LONGEST.length : found
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}

/** Tests run against real servers and real child processes: few at a time, each with room to start them. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    pool: 'forks',
    // They wait for servers and processes more than they compute: two at a time leave two cores idle half of the time.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // Far beyond what a test needs on a machine that does other things, too: it may only stand in for ever.
    testTimeout: 90_000,
    hookTimeout: 90_000,
    expect: { poll: { timeout: 30_000, interval: 10 } },
    teardownTimeout: 10_000,
    passWithNoTests: false,
    // Hundreds of processes of the product are started: what one has compiled serves the others, which halves their start.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/tests', import.meta.url)) },
    // Real processes on a machine that others use, too: a test that fails gets two more tries there, and .ci/run names it.
    retry: process.env.CI === 'true' ? 2 : 0,
  },
})
