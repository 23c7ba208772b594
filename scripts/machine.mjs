/**
 * Seconds to wait before what depends on the network is tried once more. A machine that verifies the clone (.ci/run) tries again, for nobody is there
 * to do it; a person is told at once what is wrong.
 *
 * @returns {readonly number[]}
 */
export function pausesBetweenTries() {
  return process.env.CI === 'true' ? [5, 20] : []
}

/** @param {number} seconds */
export function pause(seconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000)
}
