// test-summary.mjs RESULTS TEST_STATUS CHECK_STATUS: the last line of .ci/run and its exit code.
import { readFileSync } from 'node:fs'

const [file, testStatus, checkStatus] = process.argv.slice(2)
const { passed, failed } = count(file)
if (testStatus !== '0' && failed === 0) console.log(`npm test ended with ${testStatus}`)
if (checkStatus !== '0') console.log(`npm run check ended with ${checkStatus}`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = passed > 0 && failed === 0 && testStatus === '0' && checkStatus === '0' ? 0 : 1

/** A file of tests that could not even be loaded has no failed test to count: it counts as one. */
function count(file) {
  try {
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(file, 'utf8'))
    const broken = testResults.filter(
      ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
    )
    return { passed: numPassedTests, failed: numFailedTests + broken.length }
  } catch {
    return { passed: 0, failed: 0 }
  }
}
