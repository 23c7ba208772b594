import { expect, test } from 'vitest'
import { tell } from '../../demo/story.ts'

test('a key schema becomes another on one live Redis, there, back and there again, and the application sees nothing of it', async () => {
  const lines: string[] = []
  const print = (line: string): void => void lines.push(line)
  const result = await tell({ rollback: true, jobsPerPhase: 80, oldJobs: 300, print })
  expect(result).toMatchObject({
    errors: [],
    reconnects: 0,
    doneTwice: 0,
    neverDone: 0,
    eventsOff: 0,
    newEventsOff: 0,
    foreignKeys: 0,
    drift: 0,
    oldNamesLeft: 0,
    oldNamesWritten: 0,
    mismatches: 0,
  })
  expect(result.jobs).toBeGreaterThanOrEqual(7 * 80)
  expect(lines.map((line) => line.split(' ')[0])).toEqual(
    expect.arrayContaining(['passthrough', 'mirror', 'shadow', 'read-target', 'switched', 'done']),
  )
}, 240_000)
