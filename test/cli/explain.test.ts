import { describe, expect, test } from 'vitest'
import { type Explanation, explanationLines } from '../../src/cli/explain.ts'

const EXPLANATION: Explanation = {
  command: 'RENAME',
  known: true,
  handling: 'forward',
  keys: [
    { key: 'job:1', route: 'jobs', primary: { store: 'old', key: 'job:1' }, shadow: { store: 'new', key: 'step:1' } },
    { key: 'a\nb', route: 'rest', primary: { store: 'old', key: 'a\nb' }, shadow: null },
  ],
  mirrored: 'as sent',
  compared: 'never: it writes',
  refused: null,
  notes: ['the route jobs is in phase shadow'],
}

describe('understudy explain', () => {
  test('shows route, keys on each store, mirroring and comparison, one fact a line', () => {
    expect(explanationLines(EXPLANATION)).toEqual([
      'command    RENAME',
      'handling   forward',
      'key        job:1 -> route jobs',
      '  primary  old: job:1',
      '  shadow   new: step:1',
      'key        a\\x0ab -> route rest',
      '  primary  old: a\\x0ab',
      '  shadow   -',
      'mirrored   as sent',
      'compared   never: it writes',
      'note       the route jobs is in phase shadow',
    ])
  })

  test('of a command that is refused, shows why and nothing of mirroring', () => {
    const refused = {
      ...EXPLANATION,
      command: 'SYNC',
      known: false,
      keys: [],
      refused: 'replication does not pass',
      notes: [],
    }
    expect(explanationLines(refused)).toEqual([
      'command    SYNC (not in the command table)',
      'handling   forward',
      'keys       none',
      'refused    replication does not pass',
    ])
  })
})
