import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/file/load.ts'
import { preflight } from '../../src/preflight/preflight.ts'
import { startCluster } from '../support/cluster.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/ports.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { PRIMARY_NAME, startSentinelGroup } from '../support/sentinels.ts'

let folder: string
let old: RedisServer
let fresh: RedisServer
const others: { stop(): Promise<unknown> }[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-preflight-'))
  ;[old, fresh] = await Promise.all([startRedis({ args: ['--unixsocket', join(folder, 'old.sock')] }), startRedis()])
  await old.client().mset('a', '1', 'b', '2')
})
afterAll(async () => {
  await Promise.all([old, fresh, ...others].map((server) => server?.stop()))
  rmSync(folder, { recursive: true })
})

async function also<Server extends { stop(): Promise<unknown> }>(starting: Promise<Server>): Promise<Server> {
  const server = await starting
  others.push(server)
  return server
}

const extra = (...args: string[]) => also(startRedis({ args }))

/** What is found for a route from `source` to `target`, each a store of a file. */
function found(source: string, target: string, { phase = 'passthrough', stateDir = folder, keys = ['*'] } = {}) {
  const file = join(folder, 'understudy.yaml')
  const route = `{ name: all, keys: ${JSON.stringify(keys)}, source: { store: old }, target: { store: new }, phase: ${phase} }`
  const rest = keys.includes('*') ? '' : '  - { name: rest, keys: ["*"], source: { store: old } }\n'
  writeFileSync(
    file,
    `stateDir: ${stateDir}\nstores:\n  old: ${source}\n  new: ${target}\nroutes:\n  - ${route}\n${rest}`,
  )
  return preflight(loadConfig(file, {}).config)
}

const at = (url: string) => `{ url: "${url}" }`
const messages = async (looking: ReturnType<typeof found>) =>
  (await looking).findings.map(({ level, message }) => `${level}: ${message}`)

test('two stores that are as they should be: what they say, nothing found, nothing changed', async () => {
  const { stores, findings } = await found(at(old.url), at(fresh.url))
  expect(findings).toEqual([])
  expect(stores['old']).toMatchObject({
    kind: 'single',
    error: null,
    servers: [
      { address: `127.0.0.1:${old.port}`, up: true, role: 'master', keys: { 0: 2 }, inCluster: false, denied: [] },
    ],
  })
  expect(stores['new']!.servers[0]).toMatchObject({ up: true, keys: {}, memory: { limitBytes: 0 } })
  expect(await fresh.client().info('persistence')).toContain('rdb_changes_since_last_save:0\r\n')
  expect(await fresh.client().info('memory')).toMatch(/^number_of_cached_scripts:0\r$/m)
  expect(await fresh.client().function('LIST')).toEqual([])
  expect(await fresh.client().dbsize()).toBe(0)
})

test('a store that nobody serves, and one that refuses the login', async () => {
  const locked = await also(startRedis({ args: ['--requirepass', 'secret'], password: 'secret' }))
  const found_ = await messages(
    found(at(`redis://127.0.0.1:${await freePort()}`), `{ url: "redis://127.0.0.1:${locked.port}", password: wrong }`),
  )
  expect(found_).toEqual([
    expect.stringMatching(/^error: store 'old' cannot be used: .*nobody listens there$/),
    expect.stringMatching(/^error: store 'new' cannot be used: .*WRONGPASS/),
  ])
})

test('ports that something else listens on: what it is, as far as that shows, and what to write', async () => {
  const answering = (bytes: string | Buffer) =>
    also(
      new Promise<{ url: string; stop(): Promise<unknown> }>((resolve) => {
        const server = createServer((socket) => {
          socket.on('error', () => {})
          if (bytes.length > 0) socket.once('data', () => socket.write(bytes))
        })
        server.listen(0, '127.0.0.1', () => {
          const { port } = server.address() as AddressInfo
          resolve({ url: `redis://127.0.0.1:${port}`, stop: async () => server.close() })
        })
      }),
    )
  const [http, tls, silent] = await Promise.all([
    answering('HTTP/1.1 400 Bad Request\r\n\r\n'),
    answering(Buffer.from([0x15, 0x03, 0x03, 0, 2, 2, 70])),
    answering(''),
  ])
  expect(await messages(found(at(http.url), at(tls.url)))).toEqual([
    `error: store 'old' cannot be used: what answers on this port does not speak the Redis protocol (its first byte is 72, "H")`,
    "error: store 'new' cannot be used: it speaks TLS on this port: write rediss:// in stores.new.url",
  ])
  const plain = `{ url: "${silent.url.replace('redis:', 'rediss:')}", connectTimeout: 200ms }`
  expect(await messages(found(at(old.url), plain))).toEqual([
    "error: store 'new' cannot be used: no connection within 200 ms: nobody answers there, or nobody speaks TLS (a plain port: write redis:// in stores.new.url)",
  ])
})

test('a store that no route uses and that cannot be used', async () => {
  const port = await freePort()
  expect(await messages(found(at(old.url), `${at(fresh.url)}\n  spare: ${at(`redis://127.0.0.1:${port}`)}`))).toEqual([
    expect.stringMatching(/^warning: store 'spare', which no route uses, cannot be used: .*nobody listens there$/),
  ])
})

test('one server under two addresses', async () => {
  expect(await messages(found(at(old.url), at(`unix://${join(folder, 'old.sock')}`)))).toEqual([
    "error: stores 'old' and 'new' are one server under two addresses: let the target be another server",
  ])
})

test('a target that is a replica', async () => {
  const replica = await extra('--replicaof', '127.0.0.1', String(old.port))
  await eventually(async () => expect(await replica.client().info('replication')).toContain('master_link_status:up'))
  expect(await messages(found(at(fresh.url), at(replica.url)))).toContain(
    "error: store 'new' is a replica, which takes no writes: name its primary, or promote it first",
  )
})

test('a target that has no memory left for writes, and drops keys', async () => {
  const full = await extra('--maxmemory', '1mb')
  await full.client().config('SET', 'maxmemory', '1024')
  expect(await messages(found(at(old.url), at(full.url)))).toEqual([
    "error: store 'new' has no memory left for writes (OOM)",
    expect.stringMatching(/^warning: store 'new' has room for 0 mb \(maxmemory\), and store 'old' uses \d+ mb/),
  ])
  await full.client().config('SET', 'maxmemory', '100mb', 'maxmemory-policy', 'allkeys-lru')
  expect(await messages(found(at(old.url), at(full.url)))).toEqual([
    expect.stringContaining("warning: store 'new' drops keys when its memory is full (maxmemory-policy allkeys-lru)"),
  ])
})

test('rights that the user lacks, each with what follows from it', async () => {
  const guarded = await extra()
  await guarded
    .client()
    .acl('SETUSER', 'app', 'on', '>pass', '~*', '&*', '+@all', '-dump', '-restore', '-info', '-scan')
  const findings = await messages(
    found(at(old.url), `{ url: "redis://app@127.0.0.1:${guarded.port}", password: pass }`),
  )
  expect(findings).toContain(
    "warning: store 'new': its user may not run DUMP, RESTORE: keys are copied by commands of their types, which is slower",
  )
  expect(findings).toContain("error: store 'new': its user may not run SCAN: no job can list its keys")
  expect(findings).toContainEqual(expect.stringMatching(/^error: store 'new': its user may not run INFO: /))
})

/** What is found at a target whose user has these rights. */
async function foundFor(rights: readonly string[], keys?: string[]) {
  const guarded = await extra()
  await guarded.client().acl('SETUSER', 'app', 'on', '>pass', ...rights)
  return messages(
    found(at(old.url), `{ url: "redis://app@127.0.0.1:${guarded.port}", password: pass }`, keys && { keys }),
  )
}

const NO_STAGING =
  "error: store 'new': its user lacks the right to some or all keys of ~understudy:copy:*: large keys cannot be copied there, nor files imported"

test('a user without any key', async () => {
  expect(await foundFor(['&*', '+@all'])).toEqual([
    expect.stringMatching(/^warning: store 'new': whether it takes writes at the moment is not known/),
    "warning: store 'new': its user lacks the right to some or all keys of ~*: commands on those are refused there",
    NO_STAGING,
  ])
  expect(await foundFor(['&*', '+@all'], ['app:*', '{id}:job'])).toContain(
    "error: store 'new': its user lacks the right to some or all keys of ~app:*, ~*:job: commands on those are refused there",
  )
})

test('a user that may touch keys of the routes and no others, with and without those that copies grow under', async () => {
  expect(await foundFor(['~app:*', '&*', '+@all'], ['app:*'])).toEqual([NO_STAGING])
  expect(await foundFor(['~app:*', '~understudy:copy:*', '&*', '+@all'], ['app:*'])).toEqual([])
  expect(await foundFor(['~one', '~understudy:copy:*', '&*', '+@all'], ['one'])).toEqual([])
  expect(await foundFor(['%R~app:*', '~understudy:copy:*', '&*', '+@all'], ['app:*'])).toEqual([
    expect.stringContaining('some or all keys of ~app:*'),
  ])
  // The keys that there are may be no others.
  expect(await foundFor(['~app:*', '~understudy:copy:*', '&*', '+@all'])).toEqual([
    expect.stringMatching(/^warning: .* keys of ~\*:/),
  ])
})

test.each(['guides/security.md', 'security.md'])('the user that %s names has all that is needed', async (page) => {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8')
  const rights = /^ACL SETUSER understudy on >PASSWORD (.+)$/m.exec(text)![1]!.split(' ')
  expect(await foundFor(rights, ['app:*'])).toEqual([])
})

test('rights that only show where nothing has been executed: each is told, and nothing is', async () => {
  const lacking =
    '-exec -select -function -eval -script -subscribe -publish -client|tracking -client|info -hset -rename'
  expect(await foundFor(['~*', '&*', '+@all', ...lacking.split(' ')])).toEqual(
    [
      'warning: store .* SCRIPT LOAD: after a restart, a failover or a switch',
      'warning: store .* SELECT: keys in databases other than',
      'error: store .* EXEC: nothing can be mirrored',
      'error: store .* RENAME: large keys cannot be copied',
      'warning: store .* HSET: keys of types',
      'warning: store .* EVAL: scripts and functions cannot be run again',
      'warning: store .* FUNCTION LIST: what functions do cannot be read',
      'warning: store .* FUNCTION LOAD, FUNCTION DELETE: libraries of functions',
      'warning: store .* CLIENT TRACKING: keys that scripts write',
      'warning: store .* PUBLISH, SUBSCRIBE: what the application publishes',
      'warning: store .* CLIENT INFO: connections that were given up',
    ].map((pattern) => expect.stringMatching(new RegExp(`^${pattern}`))),
  )
})

test('a key that has the very name of a route is not touched', async () => {
  const used = await extra()
  await used.client().set('one', 'value')
  const changes = async () => /^rdb_changes_since_last_save:(.*)$/m.exec(await used.client().info('persistence'))![1]
  const before = await changes()
  await found(at(old.url), at(used.url), { keys: ['one'], phase: 'mirror' })
  expect(await changes()).toBe(before)
  expect(await used.client().get('one')).toBe('value')
})

test('a store that refuses writes says so to a user who may touch some keys alone', async () => {
  const full = await extra()
  await full.client().acl('SETUSER', 'app', 'on', '>pass', '~app:*', '&*', '+@all')
  await full.client().config('SET', 'maxmemory', '1')
  expect(
    await messages(
      found(at(old.url), `{ url: "redis://app@127.0.0.1:${full.port}", password: pass }`, { keys: ['app:*'] }),
    ),
  ).toContain("error: store 'new' has no memory left for writes (OOM)")
})

test('a target that `serve` starts has as much room as there is', async () => {
  expect(await messages(found(at(old.url), '{ url: "managed:" }'))).toEqual([])
})

test('a command that writes and that a store calls by another name: only the server knows what it is', async () => {
  const server = await extra(
    '--rename-command',
    'HSETNX',
    'MY_HSETNX',
    '--rename-command',
    'CONFIG',
    '',
    '--rename-command',
    'GET',
    'MY_GET',
  )
  expect(await messages(found(at(server.url), at(fresh.url)))).toContain(
    "warning: store 'old' has other names for HSETNX (rename-command): what is written by that name is not mirrored",
  )
})

test('commands and databases of the source that the target has not got', async () => {
  const poor = await extra('--rename-command', 'GEOADD', '', '--rename-command', 'XADD', '', '--databases', '4')
  const source = await extra()
  await source.client({ db: 3 }).set('three', '')
  expect(await messages(found(at(source.url), at(poor.url)))).toEqual([
    "warning: store 'new' does not know 2 commands of store 'old' (GEOADD, XADD): what the application does with them cannot move there",
  ])
  await source.client({ db: 9 }).set('nine', '')
  expect(await messages(found(at(source.url), at(poor.url)))).toContain(
    "warning: store 'old' holds keys in database 9, and store 'new' has 4 databases: they cannot move there",
  )
})

test('a database with a number that stands in the URL of one store alone, and keys in it', async () => {
  const source = await extra()
  await source.client({ db: 5 }).set('of another application', '')
  expect(await messages(found(at(`${source.url}/2`), at(`${(await extra()).url}/5`)))).toEqual([
    expect.stringMatching(/^warning: store 'old' holds keys in database 5, which are not copied: .*'old' 2, 'new' 5/),
  ])
})

test('a target that holds keys before it is mirrored to, not after', async () => {
  const used = await extra()
  await used.client().set('key', '')
  expect(await messages(found(at(old.url), at(used.url)))).toEqual([
    expect.stringContaining("warning: store 'new' holds 1 key already"),
  ])
  expect(await messages(found(at(old.url), at(used.url), { phase: 'mirror' }))).toEqual([])
})

test('a state directory that cannot be made', async () => {
  writeFileSync(join(folder, 'file'), '')
  expect(await messages(found(at(old.url), at(fresh.url), { stateDir: join(folder, 'file', 'state') }))).toEqual([
    expect.stringMatching(/^error: stateDir: .*file is no directory \(.*state would be made in it\)$/),
  ])
})

test('a state directory that cannot be looked at', async () => {
  symlinkSync(join(folder, 'loop'), join(folder, 'loop'))
  expect(await messages(found(at(old.url), at(fresh.url), { stateDir: join(folder, 'loop', 'state') }))).toEqual([
    `error: stateDir: this user cannot look at ${join(folder, 'loop', 'state')} (ELOOP)`,
  ])
})

test('a file in the state directory that cannot be written', async () => {
  const stateDir = join(folder, 'state')
  mkdirSync(stateDir)
  writeFileSync(join(stateDir, 'dirty.db'), '')
  symlinkSync(join(stateDir, 'lost+found'), join(stateDir, 'lost+found'))
  expect(await messages(found(at(old.url), at(fresh.url), { stateDir }))).toEqual([])
  // The rights of a file mean nothing to root.
  symlinkSync(join(stateDir, 'state.db'), join(stateDir, 'state.db'))
  expect(await messages(found(at(old.url), at(fresh.url), { stateDir }))).toEqual([
    `error: stateDir: this user may not read and write ${join(stateDir, 'state.db')}`,
  ])
})

test('a user that may begin a transaction and not give it up', async () => {
  expect(await foundFor(['~*', '&*', '+@all', '-discard'])).toContain(
    "error: store 'new': its user may not run DISCARD: nothing can be mirrored or copied there",
  )
})

test('a primary behind Sentinels', async () => {
  const group = await also(startSentinelGroup())
  const url = `redis+sentinel://${group.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${PRIMARY_NAME}`
  const { stores, findings } = await found(at(old.url), at(url))
  expect(findings).toEqual([])
  const { port } = await group.primary()
  expect(stores['new']!.servers).toMatchObject([{ address: `127.0.0.1:${port}`, role: 'master' }])
  expect(await messages(found(at(old.url), at(url.replace(PRIMARY_NAME, 'nobody'))))).toEqual([
    expect.stringMatching(/^error: store 'new' cannot be used: no Sentinel names the primary/),
  ])
}, 180_000)

test('a cluster: every master is asked; a node of one is no single server, and a single server no cluster', async () => {
  const cluster = await also(startCluster())
  const source = await extra()
  await source.client({ db: 2 }).set('two', '')
  const looked = await found(at(source.url), at(cluster.url))
  expect(looked.stores['new']!.servers).toHaveLength(3)
  expect(looked.findings.map(({ message }) => message)).toEqual([
    "store 'old' holds keys in database 2, and store 'new' is a cluster, which has database 0 alone: they cannot move there",
  ])
  // Also where the first name that is tried belongs to another of them.
  for (const { address } of looked.stores['new']!.servers) {
    const { port } = new URL(`redis://${address}`)
    const master = new Redis(Number(port))
    await master.config('SET', 'min-replicas-to-write', '5')
    expect(await messages(found(at(old.url), at(cluster.url)))).toEqual([
      `error: store 'new' (${address}) takes no writes because replicas are missing (NOREPLICAS)`,
    ])
    await master.config('SET', 'min-replicas-to-write', '0')
    master.disconnect()
  }
  // Keys of one slot are the business of one master: of the others nothing has to be known.
  const file = join(folder, 'one-slot.yaml')
  writeFileSync(
    file,
    `stateDir: ${folder}
stores: { old: ${at(old.url)}, new: ${at(cluster.url)} }
routes:
  - { name: app, keys: ["{{app}}:*", "{{app}}"], source: { store: new } }
  - { name: rest, keys: ["*"], source: { store: old } }
`,
  )
  expect((await preflight(loadConfig(file, {}).config)).findings).toEqual([])
  const node = `redis://127.0.0.1:${looked.stores['new']!.servers[0]!.address.split(':')[1]}`
  expect(await messages(found(at(old.url), at(node)))).toEqual([
    "error: store 'new' is a node of a cluster: write redis+cluster:// in stores.new.url",
  ])
  expect(await messages(found(at(old.url), at(fresh.url.replace('redis:', 'redis+cluster:'))))).toEqual([
    `error: store 'new' cannot be used: 127.0.0.1:${fresh.port} is no node of a cluster: write redis:// in stores.new.url`,
  ])
}, 180_000)
