import { type Command, Option } from 'commander'
import { UnderstudyError } from '../base/errors.ts'
import { PHASES, type Phase } from '../config/config.ts'
import { DEFAULT_CONFIG_FILE } from './config-file.ts'

interface ServeOptions {
  readonly config?: string
  readonly source?: string
  readonly target?: string
  readonly phase?: Phase
}

/** `understudy serve`: runs the sidecar until it is told to stop. */
export function addServe(program: Command, finish: (exitCode: number) => void): void {
  program
    .command('serve')
    .description('run the sidecar, with a configuration file or for two URLs')
    .option('--config <file>', `configuration file (default: ${DEFAULT_CONFIG_FILE})`)
    .option('--source <url>', 'without a file: the store that the application uses now')
    .option('--target <url>', 'without a file: the store that it is to use')
    .addOption(
      new Option(
        '--phase <phase>',
        'without a file: phase of the one route, `all` (default: mirror with a target, else passthrough)',
      ).choices(PHASES),
    )
    .action(async (options: ServeOptions) => {
      const run = runOptions(options)
      // Nobody listening, it would end the process. What comes before the file is read asks for nothing more than that.
      process.on('SIGHUP', () => {})
      const { runServe } = await import('../app.ts')
      finish(await runServe(run))
    })
}

function runOptions({ config, source, target, phase }: ServeOptions) {
  if (source === undefined) {
    if (target !== undefined || phase !== undefined)
      throw new UnderstudyError('USAGE', '--target and --phase need --source')
    return { configPath: config ?? DEFAULT_CONFIG_FILE }
  }
  if (config !== undefined)
    throw new UnderstudyError('USAGE', '--config and --source exclude each other: the file names its stores')
  if (target === undefined && phase !== undefined && phase !== 'passthrough') {
    throw new UnderstudyError('USAGE', `--phase ${phase} needs --target`)
  }
  const inForce = phase ?? (target === undefined ? 'passthrough' : 'mirror')
  return { configPath: null, source, phase: inForce, ...(target === undefined ? {} : { target }) }
}
