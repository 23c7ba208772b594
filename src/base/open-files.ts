import { readFileSync } from 'node:fs'

/** How many files and sockets this process may have open; null: unlimited, or nobody says so here. Node has raised its soft limit to the hard one when it started. */
export function openFilesLimit(limits: () => string = ownLimits): number | null {
  let text: string
  try {
    text = limits()
  } catch {
    return null
  }
  const soft = /^Max open files\s+(\d+)/m.exec(text)?.[1]
  return soft === undefined ? null : Number(soft)
}

/** As Linux tells them. */
function ownLimits(): string {
  return readFileSync('/proc/self/limits', 'utf8')
}
