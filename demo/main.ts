import { type StoryResult, tell } from './story.ts'

/** `npm run demo`: the story, forth, and forth and back and forth. Exit code 1 when a number is not what it must be. */
const print = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

const MUST_BE_ZERO: readonly (readonly [keyof StoryResult, string])[] = [
  ['drift', 'keys that differ between old and new names'],
  ['neverDone', 'jobs never done'],
  ['doneTwice', 'jobs done twice'],
  ['eventsOff', 'events lost or doubled, for the application'],
  ['newEventsOff', 'events lost or doubled, for a consumer of the new channel'],
  ['foreignKeys', 'keys in SCAN and KEYS that are not the application’s'],
  ['oldNamesLeft', 'keys under old names after the cleanup'],
  ['oldNamesWritten', 'writes under old names after done'],
  ['mismatches', 'mismatches confirmed by the comparer'],
  ['reconnects', 'connections dropped'],
]

const began = performance.now()
for (const rollback of [false, true]) {
  print(rollback ? '\n=== again, with a rollback in the middle ===\n' : '=== one Redis, two key schemas ===\n')
  const result = await tell({ rollback, jobsPerPhase: 500, oldJobs: 2_000, print })
  print(`\n${result.jobs} jobs, ${result.commands} commands`)
  for (const [name, text] of MUST_BE_ZERO) {
    print(`${String(result[name]).padStart(8)}  ${text}`)
    if (result[name] !== 0) process.exitCode = 1
  }
  print(`${String(result.errors.length).padStart(8)}  errors${result.errors.length > 0 ? `: ${result.errors[0]}` : ''}`)
  if (result.errors.length > 0) process.exitCode = 1
}
print(`\n${((performance.now() - began) / 1000).toFixed(0)} s`)
