import { type Command, Option } from 'commander'
import { AdminClient } from './admin-client.ts'

export interface AdminOptions {
  readonly admin: string
  readonly token?: string
}

export interface JsonOption {
  readonly json?: boolean
}

/** Options of every subcommand that talks to a running sidecar. */
export function withAdminOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--admin <url>', 'admin address of the running sidecar')
        .env('UNDERSTUDY_ADMIN_URL')
        .default('http://127.0.0.1:9380'),
    )
    .addOption(
      new Option('--token <token>', 'its token; the variable is safer, since other users can see arguments').env(
        'UNDERSTUDY_ADMIN_TOKEN',
      ),
    )
}

export function jsonOption(): Option {
  return new Option('--json', 'print JSON')
}

/** An empty variable counts as not set. */
export function adminClient({ admin, token }: AdminOptions): AdminClient {
  return new AdminClient(admin, token || null)
}
