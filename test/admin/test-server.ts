import { type AdminServer, startAdminServer } from '../../src/admin/server.ts'
import type { ListenTlsConfig } from '../../src/config/config.ts'
import { Log, type LogLine } from '../../src/observability/log.ts'
import { FakeControl } from './fake-control.ts'

export interface TestServer extends AdminServer {
  readonly control: FakeControl
  readonly logged: LogLine[]
}

/** A real admin server on a free port, in front of a fake inside. */
export async function startTestServer(
  options: { token?: string; host?: string; port?: number; statusIntervalMs?: number; tls?: ListenTlsConfig } = {},
): Promise<TestServer> {
  const control = new FakeControl()
  const logged: LogLine[] = []
  const server = await startAdminServer({
    control,
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 0,
    token: options.token ?? null,
    tls: options.tls ?? null,
    log: new KeptLog(logged),
    ...(options.statusIntervalMs === undefined ? {} : { statusIntervalMs: options.statusIntervalMs }),
  })
  return { ...server, control, logged }
}

class KeptLog extends Log {
  readonly #lines: LogLine[]

  constructor(lines: LogLine[]) {
    super()
    this.#lines = lines
  }

  write(line: LogLine): void {
    this.#lines.push(line)
  }
}
