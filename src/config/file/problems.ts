import { UnderstudyError } from '../../base/errors.ts'

/** Keys and indices from the root of the file to a value. */
export type ConfigPath = readonly (string | number)[]

/** One thing that is wrong in a configuration file. */
export interface Problem {
  /** From 1; 0 when the configuration did not come from a file. */
  readonly line: number
  /** From 1; 0 when the configuration did not come from a file. */
  readonly column: number
  /** As in `routes[0].target.keys["job:{rest}"]`; empty for the file as a whole. */
  readonly path: string
  /** What is wrong and what to do. Without credentials. */
  readonly message: string
}

/** CONFIG_INVALID with everything that is wrong, in the order of the file. The message has one line a problem. */
export class ConfigError extends UnderstudyError {
  readonly problems: readonly Problem[]

  constructor(file: string, problems: readonly Problem[]) {
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`
    super(
      'CONFIG_INVALID',
      [`${file} has ${count}:`, ...problems.map((problem) => formatProblem(file, problem))].join('\n'),
    )
    this.problems = problems
  }
}

/** `file:line:column: path: message`, as compilers and editors write it. */
export function formatProblem(file: string, problem: Problem): string {
  const place = problem.line === 0 ? file : `${file}:${problem.line}:${problem.column}`
  return problem.path === '' ? `${place}: ${problem.message}` : `${place}: ${problem.path}: ${problem.message}`
}

export function formatPath(path: ConfigPath): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (!/^[\w-]+$/.test(step)) text += `[${JSON.stringify(step)}]`
    else text += text === '' ? step : `.${step}`
  }
  return text
}

/** The text of an error, for a problem's message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** An example key in a message. It is made up, not a key of anyone's data. */
export function shown(key: Buffer): string {
  return JSON.stringify(key.toString('latin1'))
}
