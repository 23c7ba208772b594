import { z } from 'zod'
import { CLIENT_AUTH, DECODERS, MISMATCH_CLASSES, PHASES } from './config.ts'
import { KeyPattern } from './pattern.ts'
import { count, duration, fileMode, flag, instant, name, parsed, path, secret, share, size } from './schema-types.ts'
import { parseAdminUrl, parseListenUrl, parseStoreUrl } from './store-url.ts'

/**
 * The configuration file: what may stand where, its default, and what it means. The reference (`docs/reference/configuration.md`), the
 * JSON Schema for editors (`config/understudy.schema.json`) and the types come from here. What needs more than one value to judge is in
 * `resolve-*.ts`.
 */

const TlsFile = z.strictObject({
  ca: path.optional().describe('PEM file with the authorities to trust. Default: those of the system.'),
  cert: path.optional().describe('PEM file with the certificate to show.'),
  key: path.optional().describe('PEM file with the key of `cert`.'),
  serverName: z
    .string()
    .min(1)
    .optional()
    .describe("Name that the store's certificate must carry. Default: the host of the URL."),
  verify: flag.prefault(true).describe('`false` accepts any certificate.'),
})

const SentinelFile = z.strictObject({
  username: z.string().min(1).optional().describe('ACL user at the Sentinels.'),
  password: secret
    .optional()
    .describe(
      '`{ env: NAME }`, `{ file: PATH }`, or the password itself. Default: none; that of the store is not tried.',
    ),
  tls: z
    .union([z.literal(false), TlsFile])
    .optional()
    .describe('TLS towards the Sentinels, or `false` for none. Default: as towards the store.'),
})

export const StoreFile = z.strictObject({
  url: parsed(parseStoreUrl).describe(
    "`redis://host:6379/0`, `rediss://` (TLS), `unix:///path?db=0`, `redis+sentinel://h1:26379,h2/name/0` (the primary that Sentinels call so; `rediss+sentinel://` with TLS), `redis+cluster://h1:6379,h2` (some nodes of a Redis Cluster; `rediss+cluster://` with TLS), or `managed:` for a redis-server that Understudy starts itself. User and password in it are the store's. Never shown with its credentials.",
  ),
  username: z.string().min(1).optional().describe('ACL user. Default: the one in the URL, if any.'),
  password: secret.optional().describe('`{ env: NAME }`, `{ file: PATH }`, or the password itself.'),
  database: count(0)
    .optional()
    .describe("The database that a client's database 0 stands for. Default: the one in the URL, or 0."),
  timeout: duration.prefault('5s').describe('A command without a reply for so long is answered with an error.'),
  connectTimeout: duration
    .prefault('2s')
    .describe(
      'How long opening a connection may take; the store then has its `timeout` for the answer to the greeting, if that is longer.',
    ),
  tls: TlsFile.optional().describe(
    'For `rediss://`, `rediss+sentinel://` and `rediss+cluster://` only. Of a cluster it is for every node.',
  ),
  sentinel: SentinelFile.optional().describe('For Sentinel URLs only: how the Sentinels themselves are asked.'),
  dataDir: path
    .optional()
    .describe('`managed:` only: where it keeps its data. Default: in memory, gone when Understudy stops.'),
})

const certificate = {
  cert: path.describe('PEM file with the certificate to show, with those between it and its authority behind it.'),
  key: path.describe('PEM file with the key of `cert`.'),
}

const ListenTlsFile = z.strictObject({
  ...certificate,
  more: z
    .array(z.strictObject(certificate))
    .prefault([])
    .describe('Certificates for other names: a client that names a server (SNI) is shown the one that is for it.'),
  ca: path.optional().describe('PEM file with the authorities whose client certificates are accepted.'),
  clientCertificates: z
    .enum(['none', 'optional', 'required'])
    .optional()
    .describe('Whether clients show a certificate. Default: `required` with `ca`, else `none`.'),
})

/** Browsers and `understudy` show no certificates of their own here: the token says who they are. */
const AdminTlsFile = ListenTlsFile.pick({ cert: true, key: true, more: true })

export const ListenerFile = z.strictObject({
  url: parsed(parseListenUrl).describe(
    '`redis://127.0.0.1:6380`, `rediss://` (TLS) or `unix:///run/understudy.sock`. Port 0 takes any free port.',
  ),
  tls: ListenTlsFile.optional().describe(
    '`rediss://` only, and needed there. Renewed files are taken up within seconds, without a restart.',
  ),
  connections: z
    .enum(['shared', 'dedicated'])
    .prefault('shared')
    .describe(
      '`shared`: the commands of all clients go down one connection to the store. `dedicated`: each client has one of its own, so that the store sees every client (MONITOR, CLIENT LIST, ACL LOG there); slower.',
    ),
  mode: fileMode.optional().describe('`unix://` only: who may connect, as in `"0770"`. Default: as the umask says.'),
})

export const AdminFile = z.strictObject({
  url: parsed(parseAdminUrl).describe(
    '`http://127.0.0.1:9380`, or `https://` with `tls`. Beyond loopback a token is required.',
  ),
  token: secret.optional().describe('What callers must present as `Authorization: Bearer TOKEN`.'),
  tls: AdminTlsFile.optional().describe(
    '`https://` only, and needed there. Renewed files are taken up within seconds, without a restart.',
  ),
})

const pattern = parsed((text) => {
  KeyPattern.parse(text)
  return text
})

export const EndFile = z.strictObject({
  store: name.describe('One of `stores`.'),
  keys: z
    .record(z.string(), pattern)
    .prefault({})
    .describe(
      "The application's key pattern -> the pattern of its names here. What is not named keeps its name. Every capture is used exactly once.",
    ),
  channels: z
    .record(z.string(), pattern)
    .prefault({})
    .describe(
      "The application's pub/sub channel -> its name here, with the patterns of keys. A channel that is named takes the route: while both ends are in use, messages are published at both.",
    ),
})

const MirrorFile = z.strictObject({
  mode: z
    .enum(['async', 'sync'])
    .prefault('async')
    .describe(
      '`async`: the client never waits for the shadow. `sync`: its reply waits for the shadow, at most `timeout`.',
    ),
  backlog: size
    .prefault('64mb')
    .describe('What may wait for the shadow; beyond it, keys are marked dirty and copied later.'),
  timeout: duration.prefault('100ms').describe('`sync` only: how long a reply waits.'),
  onShadowError: z
    .enum(['ignore', 'fail'])
    .prefault('ignore')
    .describe('`sync` only: whether the client learns that the shadow failed.'),
})

const AcknowledgeFile = z.strictObject({
  pattern: z
    .string()
    .min(1)
    .optional()
    .describe(
      'The key pattern as `understudy mismatches` shows it, as in `user:<n>`. Default: every key of the route.',
    ),
  command: z
    .string()
    .min(1)
    .transform((text) => text.toUpperCase())
    .optional()
    .describe('Only differences of this command.'),
  class: z.enum(MISMATCH_CLASSES).optional().describe('Only differences of this class.'),
  until: instant.optional().describe('A date or a point in time, as in `2027-01-31`. Default: for ever.'),
  reason: z.string().min(1).describe('Why it may be ignored; shown beside it.'),
})

const CompareFile = z.strictObject({
  sample: share
    .prefault(0)
    .describe('Share of keys whose reads are compared. 1% is a part of 5%: the same keys on every instance.'),
  ttlTolerance: duration.prefault('2s').describe('Times to live that differ by less are equal.'),
  ignore: z
    .strictObject({
      json: z
        .array(z.string().regex(/^\$[.[]/, { error: 'a path into JSON begins with "$.", as in "$.updatedAt"' }))
        .prefault([])
        .describe('Paths that are left out of JSON values, as in `$.updatedAt`.'),
    })
    .prefault({})
    .describe('What does not count as a difference.'),
  always: z.array(pattern).prefault([]).describe('Key patterns that are compared whatever `sample` says.'),
  never: z.array(pattern).prefault([]).describe('Key patterns that are never compared.'),
  reveal: z
    .enum(['masked', 'values'])
    .prefault('masked')
    .describe('Whether recorded mismatches show values, or only their type, length and hash.'),
  repair: flag
    .prefault(false)
    .describe('`true`: a confirmed mismatch makes the key dirty, so that it is copied again.'),
  decode: z
    .array(z.enum(DECODERS))
    .prefault([])
    .describe(
      'How values are read before they are compared: `json` (numbers as numbers, names in any order), `gzip` (what is inside), `msgpack`. `ignore.json` implies `json`.',
    ),
  baseline: flag
    .prefault(false)
    .describe(
      '`true`: the primary is compared with itself instead of with the shadow, to see how much of a mismatch rate is noise.',
    ),
  acknowledge: z
    .array(AcknowledgeFile)
    .prefault([])
    .describe('Differences that are known: recorded, and no part of a mismatch rate.'),
})

export const RouteFile = z.strictObject({
  name: name.describe('Appears in metrics, in `status`, and in `UNDERSTUDY_PHASE_<NAME>`.'),
  keys: z
    .array(pattern)
    .min(1, { error: 'a route needs at least one pattern; write ["*"] for every key' })
    .describe(
      'Patterns of the keys that take this route. The most specific pattern of all routes wins, whatever the order.',
    ),
  source: z
    .union([name, EndFile])
    .describe('Where the data is at the start: `{ store: NAME, keys, channels }`, or just the name of a store.'),
  target: z
    .union([name, EndFile])
    .optional()
    .describe('Where the data shall go. Needed in every phase but `passthrough`.'),
  phase: z.enum(PHASES).prefault('passthrough').describe('The one switch of a migration.'),
  mirror: MirrorFile.prefault({}).describe('How writes reach the other store.'),
  compare: CompareFile.prefault({}).describe('How reads are compared.'),
  readTimeout: duration
    .prefault('200ms')
    .describe('`read-target`: how long the target may take before the source answers.'),
  scripts: z
    .enum(['copy', 'warn', 'refuse'])
    .prefault('copy')
    .describe(
      'What becomes of a script that uses keys which it does not declare as `KEYS`, where keys have other names or are on several stores. `copy`: while the primary knows keys by the application’s names it passes, is reported, and what it wrote is copied to the shadow: its `KEYS`, and what the primary tells of other keys; the route needs a verify where the primary does not tell. Where the primary has other names it is answered with an error, and a switch to such a primary is refused. `warn`: it passes and is reported, for it is said to touch no key that is renamed; no verify is asked for. `refuse`: it is answered with an error. Known by reading the script; functions are not read.',
    ),
})

const userName = z.string().regex(/^[^\s\0]{1,128}$/, { error: 'the name of a user has no spaces, as in Redis' })

const limits = (hard: string, soft: string | 0) => ({
  hard: size.prefault(hard).describe('Beyond it a client is disconnected at once.'),
  soft: size.prefault(soft).describe('Beyond it for `softTime`, too. 0: no such limit.'),
  softTime: duration.prefault('60s').describe('How long a client may stay beyond `soft`.'),
})

const OutputFile = z.strictObject({
  ...limits('256mb', 0),
  pubsub: z
    .strictObject(limits('32mb', '8mb'))
    .prefault({})
    .describe('The same for subscribers. Default: as Redis, `32mb`, and `8mb` for 60 s.'),
})

const ClientsFile = z.strictObject({
  auth: z
    .enum(CLIENT_AUTH)
    .optional()
    .describe(
      "Who checks a client's `AUTH`. `users`: Understudy, and nobody is served before. `passthrough`: the store, and the client's commands run there with its own rights. `store`: nobody has to log in; an `AUTH` with the credentials that the primary has here changes nothing, with any other it is `passthrough` for that client. Default: `users` when there are any, else `store`.",
    ),
  users: z
    .record(userName, z.union([secret, z.array(secret).min(1)]))
    .optional()
    .describe(
      'Users and their passwords, `{ env: NAME }` or `{ file: PATH }`; a list while a password is changed. `AUTH` without a name is for the user `default`.',
    ),
  max: count(1).prefault(10_000).describe('Clients beyond it are refused, as Redis does.'),
  dedicatedConnections: count(1)
    .prefault(4_000)
    .describe(
      'Connections of their own that clients may have at one store at once, for what blocks, `WATCH`, and a `MULTI` that waits. Beyond them a command that needs one is answered with an error. Also the number of users of the store, as whom clients have logged in, that keep connections.',
    ),
  subscriberConnections: count(0)
    .prefault(1_000)
    .describe(
      'So many subscribers have a connection each to every store, so that `PUBLISH` counts them; further ones share one, which counts once.',
    ),
  outputBuffer: z
    .union([size, OutputFile])
    .prefault('256mb')
    .describe('What a client may leave unread before it is disconnected; subscribers have a limit of their own.'),
})

const CutoverFile = z.strictObject({
  holdTimeout: duration.prefault('5s').describe('How long a switch may hold commands before it is called off.'),
  maxMismatchRate: share
    .prefault('0.01%')
    .describe(
      'Reads and writes do not move to the target while more of the reads that were compared in the last ten minutes than this have differed, unless every difference was mended or acknowledged. `100%`: never refused.',
    ),
  minCompared: count(0)
    .prefault(0)
    .describe(
      'So many reads must have been compared in the last ten minutes before reads or writes move to the target.',
    ),
})

const LogFile = z.strictObject({
  level: z.enum(['debug', 'info', 'warn', 'error']).prefault('info').describe('The least important lines to write.'),
  format: z.enum(['json', 'pretty']).prefault('json').describe('One JSON object a line, or lines for people.'),
})

export const ConfigFile = z.strictObject({
  listen: z
    .array(z.union([z.string(), ListenerFile]))
    .min(1, { error: 'at least one listener is needed; leave the key away for redis://127.0.0.1:6380' })
    .prefault([{ url: 'redis://127.0.0.1:6380' }])
    .describe('Where applications connect: URLs, or `{ url, tls }`.'),
  admin: z
    .union([z.literal('off'), z.literal(false), z.string(), AdminFile])
    .prefault({ url: 'http://127.0.0.1:9380' })
    .describe('Metrics, status and dashboard: a URL, `{ url, token, tls }`, or `off`.'),
  stateDir: path
    .prefault('./.understudy')
    .describe(
      'Dirty keys, the log of keys being written, job checkpoints, mismatches, the journal of switches. One instance, one directory.',
    ),
  intentLog: flag
    .prefault(true)
    .describe(
      'Keys of mirrored writes are noted in `stateDir` before the primary gets them, so that a crash leaves none in doubt. `false`: after a crash every mirrored route needs a verify.',
    ),
  stores: z.record(name, z.union([z.string(), StoreFile])).describe('The servers, by name: a URL, or what is below.'),
  routes: z
    .array(RouteFile)
    .min(1, { error: 'at least one route is needed' })
    .describe('Which keys go where. One route must have the pattern `*`.'),
  clients: ClientsFile.prefault({}).describe('Limits on applications.'),
  cutover: CutoverFile.prefault({}).describe('Switching who is primary.'),
  log: LogFile.prefault({}).describe('Written to standard output.'),
})

export type SentinelFields = z.output<typeof SentinelFile>
export type ClientsFields = z.output<typeof ClientsFile>
export type TlsFields = z.output<typeof TlsFile>
export type ListenTlsFields = z.output<typeof ListenTlsFile>
