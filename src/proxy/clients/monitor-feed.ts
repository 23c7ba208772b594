import type { CommandSpec } from '../../command/spec.ts'
import type { CommandView } from '../../resp/command-view.ts'
import type { Session } from '../session/session.ts'

/**
 * MONITOR shows what the store executes. Two things are put right, so that it shows what clients have sent:
 *
 *   what Understudy says for itself (`resp/own-words.ts`) is left out
 *   what Understudy answers in the store's place (SELECT, AUTH, HELLO, CLIENT ID ...) is put in
 */
export function isOwnWord(buf: Buffer, start: number, end: number): boolean {
  return OWN_WORD.test(buf.toString('latin1', start, Math.min(end, start + LOOKED_AT)))
}

/** A command has been answered here: those who monitor see it as the server would show it, without passwords. */
export function showToMonitors(session: Session, view: CommandView, spec: CommandSpec): void {
  if (spec.admin || UNSEEN.has(spec.name)) return
  const hidden = secretsOf(view, spec)
  const args: string[] = []
  for (let i = 0; i < view.argc; i++)
    args.push(hidden(i) ? '"(redacted)"' : quoted(view.buf, view.start[i]!, view.end[i]!))
  const now = Date.now()
  const at = `${Math.floor(now / 1000)}.${String((now % 1000) * 1000).padStart(6, '0')}`
  const line = Buffer.from(`+${at} [${session.database} ${session.remote}] ${args.join(' ')}\r\n`, 'latin1')
  for (const monitor of session.path.monitors) monitor.push(line, 0, line.length)
}

/** Which arguments nobody must see: of AUTH all, of HELLO the two behind AUTH. */
function secretsOf(view: CommandView, { name }: CommandSpec): (i: number) => boolean {
  if (name === 'AUTH') return (i) => i > 0
  if (name !== 'HELLO') return () => false
  const words: string[] = []
  for (let i = 0; i < view.argc; i++)
    words.push(view.buf.toString('latin1', view.start[i]!, view.end[i]!).toUpperCase())
  const at = words.indexOf('AUTH', 2)
  return (i) => at !== -1 && i > at && i <= at + 2
}

/** As Redis shows bytes: `"a\n\x00\"b"`. */
function quoted(buf: Buffer, start: number, end: number): string {
  const text = buf.toString('latin1', start, end)
  return `"${text.replace(SPECIAL, (char) => ESCAPES[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`
}

/** Where the command's first word is in a line. */
const LOOKED_AT = 160
const OWN_WORD = /^\+[\d.]+ \[[^\]]*\] "[a-z][A-Z]+"/
/** The store shows them (they are sent on), or no server does. */
const UNSEEN: ReadonlySet<string> = new Set(['ACL WHOAMI', 'CLIENT HELP', 'CLIENT TRACKING', 'CLIENT CACHING', 'QUIT'])
const SPECIAL = /[\x00-\x1f\x7f-\xff"\\]/g
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\x07': '\\a',
  '\b': '\\b',
}
