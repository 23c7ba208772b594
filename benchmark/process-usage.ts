import { readFileSync } from 'node:fs'

/** USER_HZ: what the kernel counts CPU time in towards user space; 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100

/** CPU time that a process has used so far, in microseconds: all of its threads, in user space and in the kernel. */
export function cpuMicroseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the program's name, in parentheses, and may hold anything; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]
  if (kilobytes === undefined) throw new Error(`process ${pid} has no resident memory: has it ended?`)
  return Number(kilobytes) * 1_024
}
