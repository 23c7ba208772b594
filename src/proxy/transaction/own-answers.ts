import { arityFits, wrongArity } from '../../command/arity.ts'
import type { CommandSpec } from '../../command/spec.ts'
import { unservedError } from '../../config/checks/unserved-databases.ts'
import { MINUS, PLUS } from '../../resp/bytes.ts'
import { CommandParser } from '../../resp/command-parser.ts'
import type { CommandView } from '../../resp/command-view.ts'
import { encodeCommand, errorFrame, FRAME } from '../../resp/encode.ts'
import type { Store } from '../../upstream/store.ts'
import { unknownSubcommand } from '../clients/client-commands.ts'
import { importQuestion, isImportRefused } from '../clients/own-flags.ts'
import { notePauseInMulti, pauseInMulti } from '../clients/pause-commands.ts'
import { isRefusal, questionOf } from '../login/client-rights.ts'
import { whoAmI } from '../login/login.ts'
import { integerArg, wordArg } from '../session/arguments.ts'
import type { Session } from '../session/session.ts'
import { saysNothing, sessionCommand } from '../session/session-commands.ts'
import type { Queued } from './exec-reply.ts'
import type { TransactionSubscriptions } from './transaction-subscriptions.ts'

/**
 * Commands inside MULTI that Understudy answers itself: the server queues a placeholder in their place, and when EXEC's reply comes they are executed, and their answers take the
 * places of its own.
 */
export function placeholderOf(session: Session, spec: CommandSpec, view: CommandView, store: Store): Buffer {
  if (!isServersToJudge(session, spec, view))
    return (
      pauseInMulti(session, spec, view, store) ??
      (session.user === null ? null : questionOf(session, view, spec)) ??
      importQuestion(spec, view) ??
      PLACEHOLDER
    )
  return Buffer.from(view.buf.subarray(view.frameStart, view.frameEnd))
}

/**
 * HELLO and AUTH are queued as they are: for the commands behind them, and because the server knows who may log in. If it says no, that is the answer; else they are executed here as well.
 * Where users are those of the configuration the server knows none of them.
 */
function isServersToJudge(session: Session, { name }: CommandSpec, view: CommandView): boolean {
  if (name !== 'HELLO' && name !== 'AUTH') return false
  if (session.path.clients.auth !== 'users') return true
  if (name === 'AUTH') return false
  for (let i = 2; i < view.argc; i++) if (wordArg(view, i) === 'AUTH') return false
  return true
}

export const PLACEHOLDER: Buffer = encodeCommand(['PING'])

/** What Redis itself refuses when EXEC comes to it. */
const DENIED: Readonly<Record<string, string>> = {
  MONITOR: "ERR MONITOR isn't allowed for DENY BLOCKING client",
  SSUBSCRIBE: "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
  'SCRIPT DEBUG': 'ERR SCRIPT DEBUG must be called outside a pipeline',
}
/** About the connection that the transaction has. */
const ABOUT_TRACKING: ReadonlySet<string> = new Set(['CLIENT CACHING', 'CLIENT TRACKING', 'CLIENT TRACKINGINFO'])

/** What becomes of a command between MULTI and EXEC: passed on, answered here when EXEC is, or refused at once. */
export function inMulti(session: Session, view: CommandView, spec: CommandSpec): 'passed' | 'answered' | 'refused' {
  switch (spec.handling) {
    case 'forward':
    case 'blocking':
    case 'keyspace':
    case 'elements':
    case 'publish':
    case 'beside':
    case 'mended':
      return 'passed'
    case 'session':
      if (spec.name === 'ACL WHOAMI' && whoAmI(session) === null) return 'passed'
      return ABOUT_TRACKING.has(spec.name) ? 'passed' : 'answered'
    case 'transaction':
      return spec.name === 'UNWATCH' ? 'passed' : 'refused'
    case 'subscribe':
    case 'takeover':
      return 'answered'
    case 'replica':
      return spec.name === 'REPLCONF' && saysNothing(view) ? 'passed' : 'answered'
    case 'refuse':
      return 'answered'
  }
}

/** Why a command is refused when it is to be queued, as a server refuses it or because it is not supported: its error. Null: it is not. */
export function refusalInMulti(session: Session, view: CommandView, spec: CommandSpec | null): string | null {
  if (spec === null) return null
  const becomes = inMulti(session, view, spec)
  if (becomes === 'passed') return null
  if (!arityFits(spec, view.argc)) return wrongArity(spec)
  if (spec.name === 'SELECT') return unservedError(session.path.routes.unserved, integerArg(view, 1) ?? 0)
  if (spec.name === 'CLIENT' || spec.absent) return unknownSubcommand(view)
  return becomes === 'refused' ? `ERR Understudy does not support ${spec.name} inside MULTI` : null
}

const parser = new CommandParser()

/** (P|S)SUBSCRIBE or (P|S)UNSUBSCRIBE inside MULTI, and the server does not say no to it. */
export function changesSubscriptions(spec: CommandSpec): boolean {
  return spec.handling === 'subscribe' && DENIED[spec.name] === undefined
}

/** Executes a command of a transaction here; gives its answer. Null: what the server has answered, at `at`, is the answer. */
export function answerInExec(
  session: Session,
  spec: CommandSpec,
  frame: Buffer,
  buf: Buffer,
  at: number,
  store: Store,
  subscriptions: TransactionSubscriptions | null,
): Buffer | null {
  const denied = DENIED[spec.name]
  if (denied !== undefined) return errorFrame(denied)
  if (spec.handling === 'subscribe') return subscriptions!.answer(spec, frame)
  if (spec.handling === 'refuse' || spec.handling === 'replica')
    return errorFrame(`ERR Understudy does not pass ${spec.name} on`)
  parser.parse(frame, 0, frame.length)
  if (buf[at] === MINUS && isServersToJudge(session, spec, parser)) return null
  if (isRefusal(session, spec, buf, at) || isImportRefused(spec, parser, buf, at)) return null
  notePauseInMulti(session, spec, buf, at, store)
  const answers: Buffer[] = []
  session.captured = answers
  try {
    sessionCommand(session, parser, spec)
    session.path.localCalls.count(spec)
  } finally {
    session.captured = null
  }
  // OFF and SKIP are answered by nothing at all, as a server does it: its array of answers is then one short.
  if (spec.name === 'CLIENT REPLY') return Buffer.concat(answers)
  return answers.length === 0 ? FRAME.OK : Buffer.concat(answers)
}

/** The databases that commands of a transaction may be executed in: the client's, and those that it selects on the way. */
export function possibleDatabases(queue: readonly Queued[], before: number): number[] {
  const databases = new Set([before])
  for (const { spec, bytes } of queue) {
    if (spec?.name !== 'SELECT') continue
    parser.parse(bytes, 0, bytes.length)
    const selected = integerArg(parser, 1)
    if (selected !== null && selected >= 0) databases.add(selected)
  }
  return [...databases]
}

/** The database that each command of a transaction was executed in, and behind them the one that the client is in then. Null: the same for all. */
export function databasesOf(
  queue: readonly Queued[],
  before: number,
  buf: Buffer,
  offsets: Int32Array,
): number[] | null {
  if (!queue.some(({ spec }) => spec?.name === 'SELECT')) return null
  let database = before
  const databases: number[] = []
  for (const [i, { spec, bytes }] of queue.entries()) {
    databases.push(database)
    if (spec?.name !== 'SELECT' || buf[offsets[i]!] !== PLUS) continue
    parser.parse(bytes, 0, bytes.length)
    database = integerArg(parser, 1) ?? database
  }
  databases.push(database)
  return databases
}
