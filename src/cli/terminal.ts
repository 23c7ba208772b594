import { stripVTControlCharacters, styleText } from 'node:util'

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

  /**
   * Lines in the place of what stands there: the first ones, where the terminal has not the rows for all, which would scroll the rest out of sight with each look. One heap below the other, with an
   * empty line between, where that is no terminal.
   */
  screen(lines: readonly string[]): void {
    if (this.#stdout.isTTY !== true) {
      this.#stdout.write(`${lines.map((line) => `${line}\n`).join('')}\n`)
      return
    }
    // Home; each line overwrites what stood there to its end; then what is below goes. Clearing all of it first would flicker.
    const text = this.#fitting(lines).map((line) => `${line.replaceAll('\n', '\x1b[K\n')}\x1b[K\n`)
    this.#stdout.write(`\x1b[H${text.join('')}\x1b[J`)
  }

  /** What has room above the row where the cursor comes to stand, a row being left for how many lines have not. */
  #fitting(lines: readonly string[]): readonly string[] {
    const { rows, columns } = this.#stdout
    // Of a terminal that does not tell its size both are 0.
    if (!rows || !columns) return lines
    const heights = lines.map((line) => rowsOf(line, columns))
    const total = heights.reduce((sum, height) => sum + height, 0)
    if (total < rows) return lines
    let room = rows - 2
    const count = heights.findIndex((height) => (room -= height) < 0)
    return [...lines.slice(0, count), `… ${lines.length - count} more`]
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

/** That it takes on a terminal, which goes on in the next one where a line is too long. */
function rowsOf(line: string, columns: number): number {
  const parts = stripVTControlCharacters(line).split('\n')
  return parts.reduce((sum, part) => sum + Math.max(1, Math.ceil([...part].length / columns)), 0)
}

/** Text from elsewhere (a key, an error text) on one line and without control characters, so that it cannot steer the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0)!
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}
