import { expect, test } from 'vitest'
import { mayPrimaryLack, VERIFY_CAUSES, VerifyMarks } from '../../../src/mirror/dirty/verify-marks.ts'

const exchanged = (...causes: (typeof VERIFY_CAUSES)[number][]) => {
  const marks = new VerifyMarks(
    () => {},
    () => {},
  )
  for (const cause of causes) marks.mark('all', cause)
  marks.exchange('all')
  return marks.causes('all')
}

test('what one side may lack is said of the other when the roles of the two are exchanged, and again when they are exchanged back', () => {
  expect(exchanged('shadow-restarted')).toEqual(['primary-restarted'])
  expect(exchanged('primary-restarted', 'failed-over')).toEqual(['shadow-restarted', 'shadow-failed-over'])
  expect(exchanged('turned')).toEqual(['turned-back'])
  expect(exchanged('turned-back', 'overflow', 'script')).toEqual(['turned'])
  expect(exchanged('functions', 'functions-removed')).toEqual(['functions', 'functions-removed'])
  for (const cause of VERIFY_CAUSES.filter((one) => !one.startsWith('functions'))) {
    const once = exchanged(cause)
    expect([cause, mayPrimaryLack(once)]).toEqual([cause, !mayPrimaryLack([cause])])
    expect(mayPrimaryLack(exchanged(...once))).toBe(mayPrimaryLack([cause]))
  }
})

test('a verify that is under way when the roles are exchanged has not looked for what is said then', () => {
  const marks = new VerifyMarks(
    () => {},
    () => {},
  )
  marks.mark('all', 'primary-restarted')
  const before = marks.times('all')
  marks.exchange('all')
  expect(marks.times('all')).toBeGreaterThan(before)
})
