import { resolve } from 'node:path'
import { UnderstudyError } from '../../base/errors.ts'
import { readRegularFile, UnreadableFile } from '../../base/read-file.ts'

/** As written in the file: the secret itself, or where it is. */
export type SecretSource = string | { readonly env: string } | { readonly file: string }

export interface SecretContext {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Relative paths start here. */
  readonly cwd: string
}

/**
 * The secret. One newline at the end of a file is not part of it (editors and `echo` leave one).
 * Throws UnderstudyError CONFIG_INVALID when it is missing or empty.
 */
export function resolveSecret(source: SecretSource, context: SecretContext): string {
  if (typeof source === 'string')
    return nonEmpty(source, 'the secret is empty; remove the key, or name { env: ... } or { file: ... }')
  if ('env' in source) {
    const value = context.env[source.env]
    if (value === undefined) throw invalid(`the environment variable ${source.env} is not set`)
    return nonEmpty(value, `the environment variable ${source.env} is empty`)
  }
  const text = readSecretFile(source.file, context.cwd)
  return nonEmpty(text.replace(/\r?\n$/, ''), `the file ${source.file} is empty`)
}

function readSecretFile(file: string, cwd: string): string {
  try {
    return readRegularFile(resolve(cwd, file)).toString('utf8')
  } catch (error) {
    throw new UnderstudyError('CONFIG_INVALID', `the file ${file} cannot be read: ${reasonOf(error)}`, { cause: error })
  }
}

/** Why a file cannot be read, in words. */
export function reasonOf(error: unknown): string {
  if (error instanceof UnreadableFile) return error.reason
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOENT') return 'it does not exist'
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied'
  if (code === 'EISDIR') return 'it is a directory'
  if (code === 'ENXIO') return 'it is no regular file, but a socket or a device'
  if (code === 'ENOTDIR') return 'a part of its path is not a directory'
  if (code === 'ELOOP') return 'symbolic links lead in a circle'
  return code ?? (error instanceof Error ? error.message : String(error))
}

function nonEmpty(text: string, message: string): string {
  if (text === '') throw invalid(message)
  return text
}

function invalid(message: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', message)
}
