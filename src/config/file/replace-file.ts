import {
  access,
  chmod,
  chown,
  constants,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { UnderstudyError } from '../../base/errors.ts'

/** Asked before the switch: a phase that is in force and does not stand in the file would be gone with the next start. */
export async function mustBeWritable(path: string): Promise<void> {
  try {
    await access(await realpath(path), constants.W_OK)
  } catch (cause) {
    throw new UnderstudyError(
      'ADMIN_REFUSED',
      `the configuration file ${path} cannot be written; change the phase where the file comes from (a ConfigMap, a deployment), and Understudy follows; a gate that is closed then is passed by \`understudy reload --force --reason TEXT\``,
      { cause },
    )
  }
}

/** Writes beside and renames, so that nobody ever reads half a file where that can be; keeps the mode, and the owner where that is allowed. A symlink's target is what is replaced. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const real = await realpath(path)
  const { mode, uid, gid } = await stat(real)
  const beside = `${real}.${process.pid}.tmp`
  try {
    // On the disk before it takes the other's place: a power cut leaves the one or the other.
    await writeFile(beside, text, { mode, flush: true })
    // Only root may give a file away; and the umask has taken from the mode.
    await chown(beside, uid, gid).catch(() => {})
    await chmod(beside, mode & 0o7777)
    await rename(beside, real)
  } catch (error) {
    await rm(beside, { force: true }).catch(() => {})
    if (!NOT_TO_BE_REPLACED.has((error as NodeJS.ErrnoException).code)) throw error
    await writeOver(real, text)
  }
}

/** A file that is mounted by itself (`docker run -v FILE:FILE`), or stands in a directory that is not this user's or read-only, may be one that can be written all the same. */
const NOT_TO_BE_REPLACED: ReadonlySet<string | undefined> = new Set(['EBUSY', 'EACCES', 'EPERM', 'EROFS'])

/** In place: a disk that is full has room for what stood there, and gets it back where it has none for more. Nobody reads an empty file meanwhile. */
async function writeOver(path: string, text: string): Promise<void> {
  const before = await readFile(path)
  const after = Buffer.from(text)
  // Where less is written than stood there, the rest is empty lines until it is cut off.
  const over = Buffer.alloc(Math.max(before.length, after.length), '\n')
  after.copy(over)
  try {
    await writeFile(path, over, { flag: 'r+', flush: true })
    await truncate(path, after.length)
  } catch (error) {
    await truncate(path, before.length)
    await writeFile(path, before, { flag: 'r+', flush: true })
    throw error
  }
}
