import type { Command } from 'commander'
import { ConfigError, formatProblem, type Problem } from '../config/problems.ts'
import { type JsonOption, jsonOption } from './admin-options.ts'
import { EXIT } from './exit-code.ts'
import { printable, type Terminal } from './terminal.ts'

/** `understudy check`: silent when the file is fine, else every problem as compilers write them. */
export function addCheck(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  program
    .command('check')
    .description('check a configuration file: every problem with its line and column; silent when it is fine')
    .argument('<file>', 'configuration file')
    .addOption(jsonOption())
    .action(async (file: string, { json }: JsonOption) => {
      const { problems, warnings } = await findings(file)
      if (json) terminal.json(problems.map((problem) => ({ file, ...problem })))
      else for (const problem of problems) terminal.line(printable(formatProblem(file, problem)))
      for (const warning of warnings) terminal.note(printable(`warning: ${formatProblem(file, warning)}`))
      finish(problems.length === 0 ? EXIT.done : EXIT.no)
    })
}

interface Findings {
  readonly problems: readonly Problem[]
  /** What is allowed and worth a word. */
  readonly warnings: readonly Problem[]
}

async function findings(file: string): Promise<Findings> {
  const { loadConfig } = await import('../config/load.ts')
  try {
    return { problems: [], warnings: loadConfig(file, process.env).warnings }
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems, warnings: [] }
    throw error
  }
}
