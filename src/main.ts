import { EXIT } from './cli/exit-code.ts'
import { runCommandLine } from './cli/program.ts'
import { Terminal } from './cli/terminal.ts'

// `understudy status | head -1`: the reader has gone, which is no error. A disk that is full is one.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.done)
  process.stderr.write(`understudy: standard output cannot be written: ${error.message}\n`)
  process.exit(EXIT.failed)
})

process.exitCode = await runCommandLine(process.argv.slice(2), new Terminal(process.stdout, process.stderr))
