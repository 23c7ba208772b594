import type { Command } from 'commander'
import type { Explanation } from '../routing/explain.ts'
import { type JsonOption, jsonOption } from './admin-options.ts'
import { DEFAULT_CONFIG_FILE } from './config-file.ts'
import { EXIT } from './exit-code.ts'
import { printable, type Terminal } from './terminal.ts'

interface ExplainOptions extends JsonOption {
  readonly config: string
}

/** `understudy explain`: the plan for one command, without running anything. What a function does, its store is asked. */
export function addExplain(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  program
    .command('explain')
    .description('show for one command: which route, which keys on which store, how it is mirrored and compared')
    .option('--config <file>', 'configuration file', DEFAULT_CONFIG_FILE)
    .addOption(jsonOption())
    .argument('<command...>', 'the command as a client would send it, best after --')
    .passThroughOptions()
    .action(async (args: string[], options: ExplainOptions) => {
      const { loadConfig } = await import('../config/file/load.ts')
      const { explainCommand } = await import('../routing/explain.ts')
      const { askForFunctions, unaskedFunctions } = await import('./stored-functions.ts')
      const { config } = loadConfig(options.config, process.env)
      const unasked = unaskedFunctions()
      let explanation = explainCommand(config, args, unasked)
      if (unasked.wanted.size > 0)
        explanation = explainCommand(config, args, await askForFunctions(config, unasked.wanted))
      if (options.json) terminal.json(explanation)
      else for (const line of explanationLines(explanation)) terminal.line(line)
      finish(explanation.refused === null ? EXIT.done : EXIT.no)
    })
}

export function explanationLines({ command, known, handling, keys, ...rest }: Explanation): string[] {
  const facts: [name: string, text: string][] = [
    ['command', `${command}${known ? '' : ' (not in the command table)'}`],
    ['handling', handling],
    ...keys.flatMap(({ key, route, primary, shadow }): [string, string][] => [
      ['key', `${key} -> route ${route}`],
      ['  primary', `${primary.store}: ${primary.key}`],
      ['  shadow', shadow === null ? '-' : `${shadow.store}: ${shadow.key}`],
    ]),
    ...(keys.length === 0 ? ([['keys', 'none']] as [string, string][]) : []),
    ...(rest.refused === null
      ? ([
          ['mirrored', rest.mirrored],
          ['compared', rest.compared],
        ] as [string, string][])
      : ([['refused', rest.refused]] as [string, string][])),
    ...rest.notes.map((note): [string, string] => ['note', note]),
  ]
  return facts.map(([name, text]) => `${name.padEnd(11)}${printable(text)}`)
}
