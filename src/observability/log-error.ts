import { UnderstudyError } from '../base/errors.ts'
import type { LogFields } from './log-fields.ts'

/**
 * What a log line may say of an error: `code`, and in `error` a text without anything of a command.
 *
 * Our own messages are written to be shown. A Redis error reply is not: it may quote what was sent ("unknown command 'x', with args
 * beginning with: ..."), so of it and of every foreign error only the code and the place in the program are kept.
 */
export function errorFields(error: unknown): LogFields {
  if (error instanceof UnderstudyError) return { code: error.code, error: error.message }
  if (!(error instanceof Error)) return { error: typeof error }
  const system = error as NodeJS.ErrnoException & { address?: string; port?: number }
  if (typeof system.code === 'string' && typeof system.syscall === 'string') {
    const where = system.address === undefined ? '' : ` ${system.address}${system.port ? `:${system.port}` : ''}`
    return { code: system.code, error: `${system.syscall}${where}` }
  }
  if (error.name === 'ReplyError')
    return { code: /^[A-Z]+(?= |$)/.exec(error.message)?.[0], error: 'error reply of a store' }
  if (typeof system.code === 'string') return { code: system.code, error: `${error.name}${place(error)}` }
  return { error: `${error.name}${place(error)}` }
}

/**
 * Where it was thrown: the first frame of the stack (file and line). A stack begins with the message, and a message may look like
 * a frame: what is not certainly behind the message is not looked at.
 */
function place({ stack = '', message }: Error): string {
  const start = stack.indexOf(message)
  if (start < 0) return ''
  const frame = stack
    .slice(start + message.length)
    .split('\n')
    .find((line) => /^\s+at /.test(line))
  return frame === undefined ? '' : ` ${frame.trim()}`
}
