import { spawn } from 'node:child_process'

/**
 * Ctrl-C under npm arrives twice: from the terminal, and from npm, which passes its own on. The program must get one, for
 * its second one means "at once". A person who means it twice needs longer than this.
 */
const SAME_SIGNAL_MS = 400

/**
 * Becomes the program, with a watch beside it that ends it (it may finish what it does) when this process is gone
 * without having said so: the kernel closes the pipe then. `src/base/tethered-child.ts` draws it.
 */
const TETHERED = '(read -r _ <&3 || kill $$) </dev/null >/dev/null 2>&1 & exec "$0" "$@" 3<&-'

/**
 * Runs a program in this one's place: its output is ours, signals to us are passed on to it, and we end as it ends. It has a
 * process group of its own, so that the terminal's signals reach it through us alone, once.
 */
export function run(program, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', TETHERED, program, ...args], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
      detached: true,
      ...options,
    })
    const tether = child.stdio[3]
    tether.on('error', () => {})
    const lastAt = new Map()
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.on(signal, () => {
        const now = performance.now()
        if (now - (lastAt.get(signal) ?? Number.NEGATIVE_INFINITY) < SAME_SIGNAL_MS) return
        lastAt.set(signal, now)
        child.kill(signal)
      })
    }
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      tether.end('\n')
      if (signal !== null) {
        process.removeAllListeners(signal)
        process.kill(process.pid, signal)
      }
      process.exitCode = code ?? 1
      resolve()
    })
  })
}
