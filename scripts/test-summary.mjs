// test-summary.mjs RESULTS TEST_STATUS CHECK_STATUS: the last line of .ci/run and its exit code.
import { readFileSync } from 'node:fs'

/** A machine may stall once; more tests than this that needed another try are a defect of the product or of the tests. */
const MAX_REPEATED = 5

const [file, testStatus, checkStatus] = process.argv.slice(2)
const { passed, failed, repeated } = count(file)
if (testStatus !== '0' && failed === 0) console.log(`npm test ended with ${testStatus}`)
if (checkStatus !== '0') console.log(`npm run check ended with ${checkStatus}`)
for (const { fullName, failureMessages } of repeated) {
  console.log(`passed at another try only: ${fullName}\n    first: ${failureMessages[0].split('\n', 1)[0]}`)
}
if (repeated.length > MAX_REPEATED) console.log(`${repeated.length} tests needed another try: too many`)
console.log(`${passed} passed, ${failed} failed`)
const whole = testStatus === '0' && checkStatus === '0' && repeated.length <= MAX_REPEATED
process.exitCode = passed > 0 && failed === 0 && whole ? 0 : 1

/** A file of tests that could not even be loaded has no failed test to count: it counts as one. */
function count(file) {
  try {
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(file, 'utf8'))
    const broken = testResults.filter(
      ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
    )
    const repeated = testResults
      .flatMap(({ assertionResults }) => assertionResults)
      .filter(({ status, failureMessages }) => status === 'passed' && failureMessages.length > 0)
    return { passed: numPassedTests, failed: numFailedTests + broken.length, repeated }
  } catch {
    return { passed: 0, failed: 0, repeated: [] }
  }
}
