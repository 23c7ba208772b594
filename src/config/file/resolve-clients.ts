import { createHash } from 'node:crypto'
import type { ClientsConfig, ListenConfig, OutputLimit } from '../config.ts'
import { isLoopback } from '../endpoint.ts'
import { type ConfigPath, messageOf } from './problems.ts'
import type { ResolveContext } from './resolve-context.ts'
import type { ClientsFields } from './schema.ts'
import { resolveSecret, type SecretSource } from './secret.ts'

/** Limits on applications, and who they are. Passwords are hashed at once. */
export function resolveClients(
  context: ResolveContext,
  fields: ClientsFields,
  listeners: readonly ListenConfig[],
  readsTarget: boolean,
): ClientsConfig {
  const { document } = context
  const users: Record<string, string[]> = {}
  for (const [name, sources] of Object.entries(fields.users ?? {})) {
    const at = ['clients', 'users', name]
    const several = Array.isArray(sources)
    const list: readonly SecretSource[] = several ? sources : [sources]
    users[name] = list.flatMap((source, i) => hashed(context, source, several ? [...at, i] : at) ?? [])
  }
  const named = Object.keys(users).length > 0
  const auth = fields.auth ?? (named ? 'users' : 'store')
  if (auth === 'users' && !named) {
    document.refuse(['clients', 'auth'], 'nobody could log in: name at least one user in "users"')
  }
  if (auth !== 'users' && named) {
    document.refuse(['clients', 'users'], `have no effect with auth: ${auth}; remove one of the two`, 'key')
  }
  if (auth === 'store') {
    for (const [i, listener] of listeners.entries()) {
      if (isOpenToAll(listener)) {
        document.warn(
          ['listen', i],
          'whoever reaches this address is served without a password; add clients.users, or client certificates',
        )
      }
    }
  }
  if (auth === 'passthrough' && readsTarget) {
    document.warn(
      ['clients', 'auth'],
      "reads of a route in read-target are answered by the source: Understudy's own rights on the target are not the client's",
    )
  }
  return {
    auth,
    users,
    maxClients: fields.max,
    dedicatedConnections: fields.dedicatedConnections,
    subscriberConnections: fields.subscriberConnections,
    outputBuffer: outputLimits(context, fields.outputBuffer),
  }
}

/** A size alone is the hard limit of ordinary clients, and of subscribers where theirs is higher. */
function outputLimits(
  { document }: ResolveContext,
  fields: ClientsFields['outputBuffer'],
): ClientsConfig['outputBuffer'] {
  const refuseNone = (hard: number, ...path: string[]): void => {
    if (hard > 0) return
    const message = 'must be more than 0: each reply is in it for a moment; to have no limit is not possible'
    document.refuse(['clients', 'outputBuffer', ...path], message)
  }
  if (typeof fields === 'number') {
    refuseNone(fields)
    const normal = { hardBytes: fields, softBytes: 0, softMs: 0 }
    return { normal, pubsub: { ...PUBSUB, hardBytes: Math.min(fields, PUBSUB.hardBytes) } }
  }
  refuseNone(fields.hard, 'hard')
  refuseNone(fields.pubsub.hard, 'pubsub', 'hard')
  return { normal: limitOf(fields), pubsub: limitOf(fields.pubsub) }
}

function limitOf({ hard, soft, softTime }: { hard: number; soft: number; softTime: number }): OutputLimit {
  return { hardBytes: hard, softBytes: soft, softMs: softTime }
}

/** Redis' own. */
const PUBSUB: OutputLimit = { hardBytes: 32 * 1024 * 1024, softBytes: 8 * 1024 * 1024, softMs: 60_000 }

function isOpenToAll({ endpoint, tls }: ListenConfig): boolean {
  return endpoint.kind === 'tcp' && !isLoopback(endpoint.host) && tls?.clientCertificates !== 'required'
}

function hashed(context: ResolveContext, source: SecretSource, path: ConfigPath): string | null {
  if (typeof source === 'string' && !context.document.isVariable(path)) {
    context.document.warn(path, 'a secret stands in the file; better name { env: VARIABLE } or { file: PATH }')
  }
  try {
    return createHash('sha256').update(resolveSecret(source, context)).digest('hex')
  } catch (error) {
    context.document.refuse(path, messageOf(error))
    return null
  }
}
