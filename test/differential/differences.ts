import { comparable, exceptionOf } from './exceptions.ts'
import type { Form } from './forms.ts'
import type { Answer, Way } from './peer.ts'

export interface Difference {
  readonly form: string
  readonly wanted: Answer
  readonly got: Answer
}

/** What of the answers to the forms of one command is not as it has to be, exceptions taken into account. */
export function differencesIn(
  forms: readonly Form[],
  way: Way,
  wanted: readonly Answer[],
  got: readonly Answer[],
): Difference[] {
  return wanted.flatMap((answer, i) => {
    const compare = exceptionOf(forms[i]!.text, way !== 'alone' && way !== 'packet')?.compare
    const there = answer.map((frame) => comparable(frame, compare))
    const here = got[i]!.map((frame) => comparable(frame, compare))
    if (there.join('') === here.join('')) return []
    return [{ form: forms[i]!.text, wanted: there, got: here }]
  })
}
