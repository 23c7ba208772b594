/** What a server's INFO says of its version. */
export interface ServerVersion {
  /** As Redis counts them; Valkey says 7.2.4 there, whatever its own. Null: not known. */
  readonly version: string | null
  /** Valkey's own; null: it is none. An older sidecar does not say it. */
  readonly valkeyVersion?: string | null
}

/** `7.2.4`, `valkey 8.1.1`; null: not known. */
export function versionText({ version, valkeyVersion }: ServerVersion): string | null {
  return valkeyVersion ? `valkey ${valkeyVersion}` : version
}
