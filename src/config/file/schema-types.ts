import { z } from 'zod'
import { parseInstant } from '../../base/instant.ts'
import { messageOf } from './problems.ts'
import { parseBytes, parseDuration, parseShare } from './units.ts'

/**
 * The kinds of value in the schema. Each reads what people write and gives what the product works with; each is also a plain
 * JSON Schema for editors. A number or a boolean may be a text, since that is what a variable gives.
 */

/** A text that `parse` understands. Its error messages are shown as they are. */
export function parsed<T>(parse: (text: string) => T) {
  return z.string().transform((text, context) => attempt(() => parse(text), context))
}

/** A size in bytes. */
export const size = amount(parseBytes, 'size, as in 64mb', '^\\d+(\\.\\d+)?\\s*[kKmMgG]?[bB]$')

/** A time in milliseconds. */
export const duration = amount(parseDuration, 'time, as in 250ms, 2s or 5m', '^\\d+(\\.\\d+)?\\s*(ms|s|m|h)$')

/** A date or a point in time (ISO 8601), in ms since the epoch. A date is its end, in UTC. */
export const instant = z
  .string()
  .meta({ pattern: orVariable('^\\d{4}-\\d{2}-\\d{2}(T.*)?$') })
  .transform((text, context) => attempt(() => parseInstant(text), context))

/** A share from 0 to 1. */
export const share = amount(parseShare, 'percentage, as in 1%', '^\\d+(\\.\\d+)?\\s*%$')

export const flag = z
  .union([z.boolean(), z.enum(['true', 'false'])])
  .transform((value) => value === true || value === 'true')

/** A whole number of at least `minimum`. */
export function count(minimum: number) {
  return z
    .union([z.int().min(minimum), z.string().meta({ pattern: orVariable('^\\d+$') })])
    .transform((value, context) => {
      const number = /^\d+$/.test(String(value)) ? Number(value) : Number.NaN
      if (!(number >= minimum && Number.isSafeInteger(number))) {
        context.addIssue({ code: 'custom', message: `must be a whole number of at least ${minimum}` })
      }
      return number
    })
}

/** Permissions of a file, in octal. Quoted: YAML takes a bare 0770 for a number of its own. */
export const fileMode = z
  .string()
  .regex(/^0?[0-7]{3}$/, { error: 'write the permissions in octal and in quotes, as in "0770"' })
  .transform((text) => Number.parseInt(text, 8))

/** Names appear in metrics, in URLs and in environment variables. */
export const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, {
  error: 'a name has letters, digits, "_", "." and "-", begins with a letter or digit, and is at most 64 long',
})

export const path = z.string().min(1, { error: 'must not be empty' })

export const secret = z.union([
  z.string(),
  z.strictObject({ env: path.describe('Name of the environment variable that holds it.') }),
  z.strictObject({ file: path.describe('File that holds it; one newline at its end is not part of it.') }),
])

/** A zero needs no unit; any other bare number is refused by `parse`, which says how to write it. */
function amount(parse: (text: string) => number, title: string, pattern: string) {
  return z
    .union([z.string().meta({ title, pattern: orVariable(pattern) }), z.number().meta({ const: 0 })])
    .transform((value, context) => attempt(() => parse(String(value)), context))
}

/** Editors see the file before variables are expanded. */
function orVariable(pattern: string): string {
  return `${pattern}|\\$\\{`
}

function attempt<T>(parse: () => T, context: z.RefinementCtx): T {
  try {
    return parse()
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) })
    return z.NEVER
  }
}
