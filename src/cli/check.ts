import type { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { ConfigError, formatProblem, type Problem } from '../config/file/problems.ts'
import type { Preflight } from '../preflight/preflight.ts'
import { type JsonOption, jsonOption } from './admin-options.ts'
import { EXIT } from './exit-code.ts'
import { preflightData, preflightLines } from './preflight-report.ts'
import { printable, type Terminal } from './terminal.ts'

/** `understudy check`: silent when the file is fine, else every problem as compilers write them. */
export function addCheck(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  program
    .command('check')
    .description('check a configuration file: every problem with its line and column; silent when it is fine')
    .argument('<file>', 'configuration file')
    .option(
      '--since <file>',
      'the file as it was: also say which keys a reload would move; exit code 1 when it must not',
    )
    .option(
      '--connect',
      'also ask every store whether it can be reached, what its user may do, and what speaks against moving there; changes nothing',
    )
    .addOption(jsonOption())
    .action(async (file: string, { json, since, connect = false }: CheckOptions) => {
      const { config, problems, warnings } = await findings(file)
      const moves = since === undefined || config === null ? NO_MOVES : await movesBetween(since, config)
      const found = connect && config !== null ? await askStores(config) : null
      if (json) {
        const unsafe = moves.unsafe.map((message) => ({ file, message }))
        const all = [...problems.map((problem) => ({ file, ...problem })), ...unsafe]
        terminal.json(connect ? { problems: all, ...preflightData(found) } : all)
      } else {
        for (const problem of problems) terminal.line(printable(formatProblem(file, problem)))
        for (const reason of moves.unsafe) terminal.line(printable(`${file}: ${reason}`))
        if (found !== null) for (const line of preflightLines(found, terminal)) terminal.line(line)
      }
      for (const warning of warnings) terminal.note(printable(`warning: ${formatProblem(file, warning)}`))
      for (const move of moves.said) terminal.note(printable(`reload: ${move}`))
      const speaksAgainst = found?.findings.some(({ level }) => level === 'error') ?? false
      finish(problems.length === 0 && moves.unsafe.length === 0 && !speaksAgainst ? EXIT.done : EXIT.no)
    })
}

interface CheckOptions extends JsonOption {
  readonly since?: string
  readonly connect?: boolean
}

interface Moves {
  readonly said: readonly string[]
  /** What the sidecar would refuse. */
  readonly unsafe: readonly string[]
}

const NO_MOVES: Moves = { said: [], unsafe: [] }

/** Without asking any store: whether a step is ready (its gates) only the running sidecar knows, and whether two addresses are one server. */
async function movesBetween(since: string, next: Config): Promise<Moves> {
  const { loadConfig } = await import('../config/file/load.ts')
  const { movesIn } = await import('../cutover/move-sentences.ts')
  const { sameKeyspaces } = await import('../cutover/same-keyspaces.ts')
  const { transitions } = await import('../cutover/transition.ts')
  const old = loadConfig(since, process.env).config
  const steps = transitions(old, next, await sameKeyspaces(old, next, async () => null))
  return {
    said: movesIn(steps, old, next),
    unsafe: steps.flatMap(({ route, unsafe }) => (unsafe === null ? [] : [`route '${route}': ${unsafe}`])),
  }
}

async function askStores(config: Config): Promise<Preflight> {
  const { preflight } = await import('../preflight/preflight.ts')
  return preflight(config)
}

interface Findings {
  /** Null: the file is not valid. */
  readonly config: Config | null
  readonly problems: readonly Problem[]
  /** What is allowed and worth a word. */
  readonly warnings: readonly Problem[]
}

async function findings(file: string): Promise<Findings> {
  const { loadConfig } = await import('../config/file/load.ts')
  try {
    const { config, warnings } = loadConfig(file, process.env)
    return { config, problems: [], warnings }
  } catch (error) {
    if (error instanceof ConfigError) return { config: null, problems: error.problems, warnings: [] }
    throw error
  }
}
