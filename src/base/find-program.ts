import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The file that a shell would run for `name`, looked for in the directories of `path`; null when there is none. */
export function findProgram(name: string, path = process.env['PATH'] ?? ''): string | null {
  if (name.includes('/')) return isProgram(name) ? name : null
  for (const directory of path.split(delimiter)) {
    const file = join(directory || '.', name)
    if (isProgram(file)) return file
  }
  return null
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}
