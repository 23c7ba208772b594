import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Tests run against real servers and real child processes: few at a time, each with room to start them. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    pool: 'forks',
    maxWorkers: 2,
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
