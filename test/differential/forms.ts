import { readFileSync } from 'node:fs'
import { findKeys, KeyPositions } from '../../src/command/keys.ts'
import type { CommandSpec } from '../../src/command/spec.ts'
import type { CommandTable } from '../../src/command/table.ts'
import { viewOf } from '../../src/resp/command-view.ts'
import { splitInline } from '../../src/resp/inline.ts'
import { neverSent } from './exceptions.ts'

/** One command line in one form. */
export interface Form {
  /** As one would type it; binary bytes as one character each. */
  readonly text: string
  readonly args: readonly Buffer[]
  /** Written by hand, not derived from the command's arity and keys. */
  readonly written: boolean
}

/** A command (or a container's subcommand) with all the forms in which it is sent. */
export interface Unit {
  /** Upper case. */
  readonly name: string
  readonly forms: readonly Form[]
}

/** The keys of the dataset, one of each type; and one that is not there. */
const KEYS_BY_TYPE = ['s', 'l', 'set', 'h', 'z', 'x', 'hll', 'nosuchkey']

export const DATASET: readonly (readonly Buffer[])[] = linesOf('dataset.txt').map(argsOf)

/**
 * Every command of the table with its forms: those of `forms.txt`; and, derived, too few and too many arguments, another case, and a first key of every
 * type.
 */
export function unitsOf(table: CommandTable, listed: ReadonlySet<string>): Unit[] {
  const written = new Map<string, Form[]>()
  for (const line of linesOf('forms.txt')) {
    const form = formOf(argsOf(line), true)
    const spec = table.lookup(viewOf(form.args))
    const name = spec !== undefined && listed.has(spec.name) ? spec.name : ''
    written.set(name, [...(written.get(name) ?? []), form])
  }
  const units = [...listed].map((name): Unit => {
    const spec = table.byName(name)!
    const own = written.get(name) ?? []
    const all = [...own, ...derived(spec, own[0])]
    return { name, forms: all.filter(isSent) }
  })
  return [...units, { name: 'unknown', forms: (written.get('') ?? []).filter(isSent) }]
}

function isSent({ text }: Form): boolean {
  return !neverSent(text)
}

function derived(spec: CommandSpec, model: Form | undefined): Form[] {
  const words = spec.name.split(' ')
  const least = Math.abs(spec.arity)
  const forms = [words, [...words.map((word) => word.toLowerCase()), 'a'], [...words, 'a', 'b']]
  if (least - 1 > words.length) forms.push([...words, ...Array<string>(least - 1 - words.length).fill('a')])
  forms.push([...words, ...Array<string>(Math.max(0, least - words.length) + 1).fill('a')])
  const made = forms.map((args) =>
    formOf(
      args.map((arg) => Buffer.from(arg, 'latin1')),
      false,
    ),
  )
  if (model === undefined) return made
  made.push(formOf([...model.args, Buffer.from('nonsense')], false))
  const positions = new KeyPositions()
  findKeys(spec, viewOf(model.args), positions)
  if (positions.count === 0) return made
  for (const key of KEYS_BY_TYPE) {
    const args = [...model.args]
    args[positions.index[0]!] = Buffer.from(key)
    made.push(formOf(args, false))
  }
  return made
}

function formOf(args: readonly Buffer[], written: boolean): Form {
  return { text: args.map((arg) => arg.toString('latin1')).join(' '), args, written }
}

function linesOf(file: string): string[] {
  const text = readFileSync(new URL(file, import.meta.url), 'latin1')
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('# '))
}

function argsOf(line: string): Buffer[] {
  return splitInline(Buffer.from(line, 'latin1'))!
}
