import { createHash } from 'node:crypto'
import { command } from '../../command/effects/building.ts'
import { bulk, elements } from '../../command/effects/reading.ts'
import type { Args } from '../../command/effects.ts'
import { MINUS } from '../../resp/bytes.ts'
import { decodeReply } from '../../resp/decode.ts'
import { encodeOwn } from '../../resp/own-words.ts'
import { type Reply, SimpleReply } from '../../resp/reply.ts'
import type { InFlight } from '../../upstream/pipeline/in-flight.ts'
import type { Pipeline } from '../../upstream/pipeline/pipeline.ts'
import { textOf } from '../stores/store-errors.ts'

/** Asks a server for all its libraries of functions, with their sources. */
export const LIST_FUNCTIONS = command('FUNCTION', 'LIST', 'WITHCODE')

/** What tells one source of a library from another. */
export function digestOf(code: Buffer): string {
  return createHash('sha1').update(code).digest('base64')
}

/** Of its first line, `#!lua name=carts`; null: a server refuses it. */
export function libraryNameIn(code: Buffer): string | null {
  return /^#!\S+[^\n]*?\sname=(\w+)/.exec(code.toString('latin1', 0, MAX_LINE))?.[1] ?? null
}

const MAX_LINE = 1_000

/** A library as a server has it. */
export interface Library {
  readonly name: string
  /** Another than `LUA` is a module's. */
  readonly engine: string
  readonly code: Buffer
  readonly functions: readonly { readonly name: string; readonly flags: ReadonlySet<string> }[]
}

/** Of the reply in RESP2: for each library a flat list of names and values. */
export function librariesOf(reply: Reply): Library[] {
  return (elements(reply) ?? []).flatMap((library) => {
    const field = fieldsOf(library)
    const [name, code] = [bulk(field('library_name')), bulk(field('library_code'))]
    if (name === null || code === null) return []
    const functions = (elements(field('functions')) ?? []).map((one) => {
      const of = fieldsOf(one)
      return { name: textIn(of('name')), flags: new Set((elements(of('flags')) ?? []).map((flag) => textIn(flag))) }
    })
    return [{ name: name.toString('latin1'), engine: textIn(field('engine')).toUpperCase(), code, functions }]
  })
}

function fieldsOf(list: Reply): (name: string) => Reply {
  const fields = elements(list) ?? []
  return (name) => {
    const at = fields.findIndex((one, i) => i % 2 === 0 && textIn(one) === name)
    return at === -1 ? null : (fields[at + 1] ?? null)
  }
}

function textIn(reply: Reply): string {
  return reply instanceof SimpleReply ? reply.text : (bulk(reply)?.toString('latin1') ?? '')
}

/**
 * A question about functions. `answered`: the decoded reply, or an error's text. Where a node of a cluster is silent nobody else waits for it: then `late` is told that the answer, if it comes, is of before what has been answered meanwhile.
 */
export function askAboutFunctions(
  pipeline: Pipeline,
  args: Args,
  answered: (reply: Reply | string) => void,
  late: () => void = () => {},
): void {
  const bytes = encodeOwn(args)
  const owner = {
    settle: (_slot: InFlight, buf: Buffer, start: number, end: number) =>
      answered(buf[start] === MINUS ? textOf(buf, start, end) : decodeReply(buf, start, end)),
    lost: () => answered('LOST the connection'),
    timedOut: () => {},
    detached: late,
  }
  pipeline.push(owner, bytes, 0, bytes.length)
  pipeline.hurry()
}
