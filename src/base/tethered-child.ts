import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Duplex, Readable } from 'node:stream'

export type TetheredChild = ChildProcessByStdio<null, Readable, Readable>

export interface TetheredChildOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

const WATCH = '(read -r _ <&3 || kill -9 $$) </dev/null >/dev/null 2>&1 &'
const BECOME_THE_PROGRAM = 'exec "$0" "$@" 3<&-'

/**
 * Starts a child process that does not outlive its parent, even when the parent is killed with SIGKILL and can clean
 * nothing up.
 *
 *     parent == pipe (fd 3) ==> sh -+- exec -> the program (same pid, without the pipe)
 *                                   +- fork -> the watch: reads the pipe
 *                                                end of file: the parent is gone, kill the program
 *                                                a line: the program is gone, end
 *
 * The kernel closes the pipe of a parent that dies, in whatever way; no other process holds its writing end. The line
 * keeps the watch of a program that has ended from killing a stranger with the same pid later.
 *
 * The child leads a session of its own: Ctrl-C in the terminal reaches the parent alone, which ends the child when it is
 * ready to. `program` should be known to exist (`findProgram`): when it does not, the child exits with code 127.
 */
export function spawnTethered(
  program: string,
  args: readonly string[],
  options: TetheredChildOptions = {},
): TetheredChild {
  const child = spawn('/bin/sh', ['-c', `${WATCH} ${BECOME_THE_PROGRAM}`, program, ...args], {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
  })
  const tether = child.stdio[3] as Duplex & { unref(): void }
  tether.unref()
  // The watch may be gone before the line reaches it; that is its business.
  tether.on('error', () => {})
  child.once('exit', () => tether.end('\n'))
  return child as TetheredChild
}
