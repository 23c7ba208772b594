import { runCommandLine } from './cli/program.ts'
import { Terminal } from './cli/terminal.ts'

// `understudy status | head -1`: the reader has gone, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

process.exitCode = await runCommandLine(process.argv.slice(2), new Terminal(process.stdout, process.stderr))
