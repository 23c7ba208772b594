/**
 * The configuration as the rest of the product sees it: validated, expanded, secrets resolved, units turned into numbers,
 * frozen. Plain data (no class instances), so that it can be posted to the worker thread as it is.
 */

export const PHASES = ['passthrough', 'mirror', 'shadow', 'read-target', 'switched', 'done'] as const
export type Phase = (typeof PHASES)[number]

/** How two answers can differ; seen from the shadow: `missing` is what it has not got, `extra` what only it has. */
export const MISMATCH_CLASSES = ['missing', 'extra', 'type', 'value', 'length', 'order', 'ttl', 'error'] as const
export type MismatchClass = (typeof MISMATCH_CLASSES)[number]

/** How values are read before they are compared, in this order: see `compare/decoders.ts`. */
export const DECODERS = ['json', 'gzip', 'msgpack'] as const
export type DecoderName = (typeof DECODERS)[number]

export type Endpoint =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

/** TLS towards a store. PEM files by path; read where they are used, so that a renewed certificate is found. */
export interface TlsConfig {
  readonly caFile: string | null
  readonly certFile: string | null
  readonly keyFile: string | null
  /** SNI and the name the peer's certificate must carry; null: the host of the URL. */
  readonly serverName: string | null
  /** false: any certificate is accepted (`tls: { verify: false }`), a warning is logged. */
  readonly verify: boolean
}

/** A certificate and its key: PEM files by path. */
export interface CertificateFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** TLS towards clients. The files are looked at again while the listener is open, so that renewed ones are taken up. */
export interface ListenTlsConfig {
  /** At least one. The first is shown to clients that name no server, or one that no certificate is for. */
  readonly certificates: readonly CertificateFiles[]
  /** Authorities whose client certificates are accepted; null: none are asked for. */
  readonly caFile: string | null
  readonly clientCertificates: 'none' | 'optional' | 'required'
}

export interface ListenConfig {
  /** As written, without credentials. */
  readonly url: string
  readonly endpoint: Endpoint
  readonly tls: ListenTlsConfig | null
  /** `dedicated`: every client has a connection to the store for itself. */
  readonly connections: 'shared' | 'dedicated'
  /** `unix://` only: the mode of the socket file; null: what the process's umask leaves. */
  readonly mode: number | null
}

export interface AdminConfig {
  readonly url: string
  readonly host: string
  readonly port: number
  readonly token: string | null
  /** null: `http://`. */
  readonly tls: ListenTlsConfig | null
}

/** How the Sentinels themselves are asked; the store behind them has credentials and TLS of its own. */
export interface SentinelAccess {
  readonly username: string | null
  readonly password: string | null
  readonly tls: TlsConfig | null
}

export interface StoreConfig {
  readonly name: string
  /** As written, without credentials. */
  readonly url: string
  readonly kind: 'single' | 'managed' | 'sentinel' | 'cluster'
  /** One for `single`, the seeds for `sentinel` and `cluster`, empty for `managed` (filled in when the child runs). */
  readonly endpoints: readonly Endpoint[]
  /** The Sentinels' name of the primary; null for other kinds. */
  readonly sentinelName: string | null
  /** Null for other kinds. */
  readonly sentinel: SentinelAccess | null
  readonly tls: TlsConfig | null
  readonly username: string | null
  readonly password: string | null
  /** The database that a client's database 0 stands for. */
  readonly database: number
  /** A command that got no reply in this time is answered with an error (its place in the queue is kept). */
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  /** `managed:` only: where the child keeps its data; null: in memory only. */
  readonly dataDir: string | null
}

export interface EndConfig {
  readonly store: string
  /** Application's key pattern -> this end's key pattern. A pattern of the route that is not named keeps its names. */
  readonly keys: Readonly<Record<string, string>>
  readonly channels: Readonly<Record<string, string>>
}

export interface MirrorConfig {
  readonly mode: 'async' | 'sync'
  readonly backlogBytes: number
  /** `sync` only: how long a client's reply waits for the shadow. */
  readonly timeoutMs: number
  readonly onShadowError: 'ignore' | 'fail'
}

export interface CompareConfig {
  /** Share of keys, 0..1. */
  readonly sample: number
  readonly ttlToleranceMs: number
  /** JSONPath-like paths (`$.updatedAt`) dropped from JSON values before comparing. */
  readonly ignoreJson: readonly string[]
  /** Key patterns that are always / never sampled. */
  readonly always: readonly string[]
  readonly never: readonly string[]
  readonly reveal: 'masked' | 'values'
  readonly repair: boolean
  /** Values that are compared as what they mean, not as bytes. */
  readonly decode: readonly DecoderName[]
  /** true: the primary is compared with itself, to see the noise of reads that are not deterministic; the shadow is not asked. */
  readonly baseline: boolean
  readonly acknowledge: readonly AcknowledgeConfig[]
}

/** Differences that are known and to be ignored. null: any. */
export interface AcknowledgeConfig {
  /** Of folded keys, as `understudy mismatches` shows it (`user:<n>`). */
  readonly pattern: string | null
  readonly command: string | null
  readonly class: MismatchClass | null
  /** ms since the epoch; null: for ever. */
  readonly untilMs: number | null
  readonly reason: string
}

export interface RouteConfig {
  readonly name: string
  readonly keys: readonly string[]
  readonly source: EndConfig
  readonly target: EndConfig | null
  readonly phase: Phase
  readonly mirror: MirrorConfig
  readonly compare: CompareConfig
  /** `read-target`: how long the target may take before the source answers. In any phase: how long the shadow may take for a page of a scan that began there. */
  readonly readTimeoutMs: number
  /** What becomes of a script that uses keys which it does not declare, where keys are renamed or on several stores. */
  readonly scripts: 'copy' | 'warn' | 'refuse'
}

/**
 * Who checks a client's AUTH: `store`: Understudy, against the credentials it has for the primary, and nobody has to log in; `users`: Understudy, against `users`, and everybody
 * has to; `passthrough`: the store, whose connections then have the client's rights.
 */
export const CLIENT_AUTH = ['store', 'users', 'passthrough'] as const

/** How much a client may leave unread, as Redis' `client-output-buffer-limit`. */
export interface OutputLimit {
  /** Disconnected at once beyond it. */
  readonly hardBytes: number
  /** Disconnected when it stays beyond it for `softMs`; 0: no soft limit. */
  readonly softBytes: number
  readonly softMs: number
}

export interface ClientsConfig {
  readonly auth: (typeof CLIENT_AUTH)[number]
  /** SHA-256 of each password a user may log in with, in hex: the passwords themselves are kept nowhere. */
  readonly users: Readonly<Record<string, readonly string[]>>
  readonly maxClients: number
  /** Connections of their own that clients may have at a store at once: what blocks, WATCH, a MULTI that waits. */
  readonly dedicatedConnections: number
  /** Subscribers beyond them share one. */
  readonly subscriberConnections: number
  readonly outputBuffer: { readonly normal: OutputLimit; readonly pubsub: OutputLimit }
}

export interface CutoverConfig {
  /** How long the commands of a route may be held by a switch before it is called off. */
  readonly holdTimeoutMs: number
  /** Beyond this share of differing reads, 0 .. 1, neither reads nor writes move to the target. */
  readonly maxMismatchRate: number
  /** Compared reads that a judgement needs. */
  readonly minCompared: number
}

export interface Config {
  readonly listen: readonly ListenConfig[]
  /** null: no admin server (`admin: off`). */
  readonly admin: AdminConfig | null
  readonly stateDir: string
  /** The keys of writes on their way are noted in `stateDir`, so that they are known after a crash. */
  readonly intentLog: boolean
  readonly stores: Readonly<Record<string, StoreConfig>>
  readonly routes: readonly RouteConfig[]
  readonly clients: ClientsConfig
  readonly cutover: CutoverConfig
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly format: 'json' | 'pretty' }
}
