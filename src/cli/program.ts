import { Command, CommanderError } from 'commander'
import { UnderstudyError } from '../base/errors.ts'
import { VERSION } from '../base/version.ts'
import { addAcknowledge } from './acknowledge.ts'
import { addCheck } from './check.ts'
import { EXIT, exitCodeOf } from './exit-code.ts'
import { addExplain } from './explain.ts'
import { addFileJobs, addJobCommands, addJobs } from './jobs.ts'
import { addMismatches } from './mismatches.ts'
import { addPhase } from './phase.ts'
import { addReload } from './reload.ts'
import { addServe } from './serve.ts'
import { addStatus } from './status.ts'
import { printable, type Terminal } from './terminal.ts'

/**
 * The command line with every subcommand.
 *
 * @param finish is told the exit code of the subcommand that ran
 */
export function buildProgram(terminal: Terminal, finish: (exitCode: number) => void): Command {
  const program = new Command('understudy')
    .description(
      'Moves an application from one Redis to another, or from one key schema to another, without touching its code.',
    )
    .version(VERSION)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.raw(text),
      writeErr: (text) => terminal.rawNote(text),
      // What Commander suggests stands on a line of its own.
      outputError: (text, write) =>
        write(
          `${text
            .replace(/^error: /, 'understudy: ')
            .trimEnd()
            .replaceAll('\n', ' ')}\n`,
        ),
    })
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 the answer is no (gate closed, invalid file), 2 wrong usage, 3 could not reach or run.',
    )
  addServe(program, finish)
  addCheck(program, terminal, finish)
  addExplain(program, terminal, finish)
  addStatus(program, terminal, finish)
  addPhase(program, terminal, finish)
  addReload(program, terminal, finish)
  addJobCommands(program, terminal, finish)
  addFileJobs(program, terminal, finish)
  addJobs(program, terminal, finish)
  addMismatches(program, terminal, finish)
  addAcknowledge(program, terminal, finish)
  return program
}

/**
 * Runs one command line (without the program's name) and gives its exit code. Never throws: an error is one line on standard error.
 */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  let exitCode: number = EXIT.done
  const program = buildProgram(terminal, (code) => {
    exitCode = code
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    return report(error, terminal)
  }
}

function report(error: unknown, terminal: Terminal): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
  if (!(error instanceof UnderstudyError)) {
    terminal.note(`understudy: a defect, please report it: ${error instanceof Error ? error.stack : String(error)}`)
    return EXIT.failed
  }
  terminal.note(
    error.message
      .split('\n')
      .map((line, i) => `${i === 0 ? 'understudy: ' : ''}${printable(line)}`)
      .join('\n'),
  )
  return exitCodeOf(error.code)
}
