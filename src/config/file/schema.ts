import { z } from 'zod'
import { CLIENT_AUTH } from '../config.ts'
import { parseAdminUrl, parseListenUrl, parseStoreUrl } from '../store-url.ts'
import { RouteFile } from './schema-routes.ts'
import { count, duration, fileMode, flag, name, parsed, path, secret, share, size } from './schema-types.ts'

/**
 * The configuration file: what may stand where, its default, and what it means. The reference (`docs/reference/configuration.md`), the
 * JSON Schema for editors (`config/understudy.schema.json`) and the types come from here; what stands under `routes` is in `schema-routes.ts`. What needs
 * more than one value to judge is in `resolve-*.ts`.
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
    .describe(
      "The database that a client's database 0 stands for. Default: the one in the URL, or 0. Two stores that are two databases of one server are refused where a route with a target uses one of them. Where the stores of the routes have different ones, clients cannot select a database with one of these numbers.",
    ),
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
    .describe(
      '`managed:` only: where it keeps its data. Default: in memory, gone when Understudy stops. Another one applies after a restart.',
    ),
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
