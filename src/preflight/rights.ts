import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { refusalOf } from '../jobs/stores/refusals.ts'
import { ownWord } from '../resp/own-words.ts'
import type { KeyNeed } from './key-needs.ts'
import type { Need } from './needs.ts'

/** What is to be tried at the servers of a store. */
export interface Trials {
  readonly needs: readonly Need[]
  readonly keys: readonly KeyNeed[]
}

/** What a server lets its user do. */
export interface Rights {
  /** That its user may not run, or that the server does not know. */
  readonly denied: readonly Need[]
  /** Whose keys its user may not touch. */
  readonly deniedKeys: readonly KeyNeed[]
  /** Whether it takes writes at the moment: `unknown`: none of them came so far; `elsewhere`: all keys that were tried are other nodes'; else why it does not. */
  readonly writes: { readonly refused: string } | 'taken' | 'unknown' | 'elsewhere'
}

type Ask = (args: readonly string[]) => Promise<unknown>

/**
 * Tries everything, in the order in which it can be tried on one connection:
 *
 *   what changes nothing ─▶ MULTI ─▶ what would be a change, queued ─▶ DISCARD ─▶ what leaves the connection of no use
 *
 * A server checks rights, and whether it takes writes, before it queues. Where it does not say QUEUED to what is harmless, nothing of the kind is sent. `tag`: a hash tag of keys that this server serves; null: it serves all. Never rejects.
 */
export async function tryRights(redis: Redis, { needs, keys }: Trials, tag: string | null): Promise<Rights> {
  const ask: Ask = (args) => redis.call(ownWord(args[0]!), ...args.slice(1)).catch((error: Error) => error)
  const word = `${tag === null ? '' : `{${tag}}`}understudy-check-${randomUUID()}`
  // Rights to a command may be given for some keys only: those of a route, where their names are open enough that no key is met.
  const open = keys.find(({ nameWith }) => nameWith(word).includes(word))
  const key = open?.nameWith(word) ?? word
  const names = keys.map(({ nameWith }) => nameWith(word))
  const answers = new Map<Need, unknown>()
  const askAll = (which: Need['asked']) =>
    needs.filter(({ asked }) => asked === which).map(async (need) => void answers.set(need, await ask(need.probe(key))))

  // Sent at once and answered in order, so that nothing comes between MULTI and DISCARD.
  await Promise.all(askAll(undefined))
  let tried: unknown[][] = []
  if (await queues(ask)) {
    const touched = Promise.all(names.map((name) => Promise.all(TOUCHES.map((touch) => ask(touch(name))))))
    const queued = askAll('queued')
    const discarded = ask(['DISCARD'])
    tried = await touched
    await Promise.all([...queued, discarded])
  }
  // Whoever may not give a transaction up is still in it.
  if ((await ask(['PING'])) !== 'QUEUED') await Promise.all(askAll('last'))

  return {
    denied: needs.filter((need) => isDenied(need, answers.get(need))),
    deniedKeys: keys.filter((_, i) => tried[i]?.some(isKeyDenied)),
    writes: writesBy(
      [...answers.values(), ...tried.flat()],
      tried.map(([write]) => write),
    ),
  }
}

/** Each of them is a write or a read of that key, and of nothing else. */
const TOUCHES: readonly ((name: string) => readonly string[])[] = [
  (name) => ['SETRANGE', name, '0', ''],
  (name) => ['GETRANGE', name, '0', '0'],
]

/** Begins a transaction, and makes sure that the server takes it for one. */
async function queues(ask: Ask): Promise<boolean> {
  const begun = await ask(['MULTI'])
  return begun === 'OK' && (await ask(['PING'])) === 'QUEUED'
}

function writesBy(answers: readonly unknown[], writes: readonly unknown[]): Rights['writes'] {
  const refused = answers.map((answer) => (answer instanceof Error ? refusalOf(answer.message) : null))
  const first = refused.find((reason) => reason !== null)
  if (first != null) return { refused: first }
  if (writes.includes('QUEUED')) return 'taken'
  return writes.length > 0 && writes.every(isMoved) ? 'elsewhere' : 'unknown'
}

function isMoved(answer: unknown): boolean {
  return answer instanceof Error && answer.message.startsWith('MOVED ')
}

/** By Redis 6 (`this user has no permissions to run the 'x' command`), 7 and Valkey; a service that has taken the command away does not know it. */
export function isDenied({ mayBeUnknown = false }: Need, answer: unknown): boolean {
  if (!(answer instanceof Error)) return false
  return RUN.test(answer.message) || (!mayBeUnknown && /^ERR unknown command/i.test(answer.message))
}

/** `... to access one of the keys used as arguments`, or `No permissions to access a key`. */
function isKeyDenied(answer: unknown): boolean {
  return answer instanceof Error && !RUN.test(answer.message) && /^NOPERM .*\bkeys?\b/i.test(answer.message)
}

/** Of EXEC it is said why the transaction is discarded. */
const RUN = /^(?:EXECABORT .*: )?NOPERM .*\brun\b/i
