import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('../../bin/understudy.mjs', import.meta.url))

export interface CliResult {
  code: number | null
  stdout: string
  stderr: string
}

export interface RunningCli {
  readonly child: ChildProcessWithoutNullStreams
  /** What it has printed so far; complete when `finished` resolves. */
  readonly output: CliResult
  readonly finished: Promise<CliResult>
}

/** Starts `understudy ARGS` as a user would; nothing of Understudy is in its environment but what is given. */
export function startCli(args: string[], env: Record<string, string> = {}): RunningCli {
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(UNDERSTUDY_|FORCE_COLOR|NO_COLOR|NODE_OPTIONS)/.test(name)),
  )
  const child = spawn(process.execPath, [PROGRAM, ...args], { env: { ...inherited, ...env } })
  const output: CliResult = { code: null, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (chunk) => (output.stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk) => (output.stderr += chunk))
  const finished = new Promise<CliResult>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve(Object.assign(output, { code })))
  })
  return { child, output, finished }
}

export function runCli(args: string[], env: Record<string, string> = {}): Promise<CliResult> {
  return startCli(args, env).finished
}
