import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/** Where a subcommand writes. Colours only on a terminal, and not with NO_COLOR set. */
export class Terminal {
  readonly #stdout: NodeJS.WriteStream
  readonly #stderr: NodeJS.WriteStream

  constructor(stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream) {
    this.#stdout = stdout
    this.#stderr = stderr
  }

  line(text = ''): void {
    this.#stdout.write(`${text}\n`)
  }

  json(value: unknown, indent: number = 2): void {
    this.line(JSON.stringify(value, null, indent))
  }

  /** Lines in the place of what stands there; one heap below the other, with an empty line between, where that is no terminal. */
  screen(lines: readonly string[]): void {
    const isTerminal = this.#stdout.isTTY === true
    // Home; each line overwrites what stood there to its end; then what is below goes. Clearing all of it first would flicker.
    const text = lines.map((line) => (isTerminal ? `${line}\x1b[K\n` : `${line}\n`)).join('')
    this.#stdout.write(isTerminal ? `\x1b[H${text}\x1b[J` : `${text}\n`)
  }

  /** For people, beside the answer: problems and progress. */
  note(text: string): void {
    this.#stderr.write(`${text}\n`)
  }

  style(style: Style, text: string): string {
    return styleText(style, text, { stream: this.#stdout })
  }

  /** Standard error is a terminal: progress can be drawn there. */
  get isInteractive(): boolean {
    return this.#stderr.isTTY === true
  }

  /** Standard error itself, for who draws there. */
  get notes(): NodeJS.WriteStream {
    return this.#stderr
  }

  raw(text: string): void {
    this.#stdout.write(text)
  }

  rawNote(text: string): void {
    this.#stderr.write(text)
  }
}

/** Text from elsewhere (a key, an error text) on one line and without control characters, so that it cannot steer the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0)!
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}
