import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null
}

/** Sends the signal and waits until the child is gone. A frozen child (SIGSTOP) is woken, for it could not obey otherwise. */
export async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM', graceMs = 10_000): Promise<void> {
  if (!isRunning(child)) return
  const gone = once(child, 'exit')
  child.kill(signal)
  child.kill('SIGCONT')
  const impatience = setTimeout(() => child.kill('SIGKILL'), graceMs)
  await gone
  clearTimeout(impatience)
}
