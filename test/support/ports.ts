import { closeSync, mkdirSync, openSync, readFileSync, statSync, unlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Below every system's range for outgoing connections: nobody gets one of these between the choice and the use. */
const LOWEST = 10_000
const HIGHEST = 32_000
/** What is claimed longer than this belongs to a run that ended. */
const CLAIM_MS = 30 * 60_000
/** Of this user: what another one has claimed cannot be taken over. */
const CLAIMS = join(tmpdir(), `understudy-test-ports-${process.getuid?.() ?? 'user'}`)

/**
 * A random TCP port of 127.0.0.1 that nobody listens on and that no other caller, of this process or of another test
 * process, was given in the last half hour. It is also free right now for a server that binds it later: the kernel gives
 * ports of this range to nobody unasked.
 */
export async function freePort(): Promise<number> {
  mkdirSync(CLAIMS, { recursive: true })
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (Math.min(HIGHEST, firstEphemeralPort()) - LOWEST))
    if (claim(join(CLAIMS, `${port}`)) && (await canBeBound(port))) return port
  }
}

/** True when `file` did not exist, or was left over, and now stands for this caller. */
function claim(file: string): boolean {
  try {
    closeSync(openSync(file, 'wx'))
    return true
  } catch (error) {
    // A disk that is full keeps nobody from having a port.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return true
    try {
      if (Date.now() - statSync(file).mtimeMs > CLAIM_MS) unlinkSync(file)
    } catch {
      // Somebody else was faster to take it away.
    }
    return false
  }
}

function canBeBound(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

let ephemeral: number | undefined

function firstEphemeralPort(): number {
  if (ephemeral !== undefined) return ephemeral
  try {
    ephemeral = Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), 10)
  } catch {
    ephemeral = HIGHEST
  }
  return ephemeral
}
