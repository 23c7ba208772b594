// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references to variables in YAML look like template strings
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { configFromUrls, type LoadedConfig, loadConfig, parseConfig } from '../../../src/config/file/load.ts'
import { ConfigError } from '../../../src/config/file/problems.ts'
import { redactConfig } from '../../../src/config/redact.ts'

const cwd = mkdtempSync(join(tmpdir(), 'understudy-config-'))

function load(text: string, env: Record<string, string> = {}): LoadedConfig {
  return parseConfig(text, { path: 'test.yaml', env, cwd })
}

/** The file of the documentation: a key-schema migration in one server, and everything else to another server. */
const CONTRACT = `
listen:
  - url: redis://127.0.0.1:6380
admin:
  url: http://127.0.0.1:9380
  token: { env: UNDERSTUDY_ADMIN_TOKEN }
stateDir: ./.understudy
stores:
  old: { url: redis://127.0.0.1:6379 }
  new:
    url: rediss://app@cache.example:6379/0
    password: { env: NEW_REDIS_PASSWORD }
routes:
  - name: jobs
    keys: ["job:{rest}", "jobs:{state}", "worker:{id}:jobs"]
    source: { store: old }
    target:
      store: old
      keys:
        "job:{rest}": "step:{rest}"
        "jobs:{state}": "steps:{state}"
        "worker:{id}:jobs": "worker:{id}:steps"
      channels: { "job_events": "step_events" }
    phase: shadow
    mirror:  { mode: async, backlog: 64mb }
    compare: { sample: 1%, ttlTolerance: 2s, ignore: { json: ["$.updatedAt"] } }
  - name: everything-else
    keys: ["*"]
    source: { store: old }
    target: { store: new }
    phase: mirror
`
const SECRETS = { UNDERSTUDY_ADMIN_TOKEN: 'token-1', NEW_REDIS_PASSWORD: 'password-1' }
const STORES = 'stores: { old: redis://a, new: redis://b }\n'
const REST = 'routes:\n- { name: rest, keys: ["*"], source: old, target: new }\n'
const SMALL = STORES + REST

describe('a configuration', () => {
  it('names Sentinels, with a login and TLS of their own or as the store has them', () => {
    const stores = `stores:
  old: { url: "redis+sentinel://app@s1,s2:1/cache/3", password: { env: STORE }, sentinel: { username: asker, password: { env: SENTINELS }, tls: {} } }
  new: { url: rediss+sentinel://s3/other, tls: { serverName: redis.example } }
  plain: { url: rediss+sentinel://s4/other, sentinel: { tls: false } }
`
    const { config } = load(stores + REST, { STORE: 'one', SENTINELS: 'two' })
    const tls = { caFile: null, certFile: null, keyFile: null, serverName: null, verify: true }
    expect(config.stores['old']).toMatchObject({
      kind: 'sentinel',
      sentinelName: 'cache',
      sentinel: { username: 'asker', password: 'two', tls },
      tls: null,
      username: 'app',
      password: 'one',
      database: 3,
    })
    const secured = { ...tls, serverName: 'redis.example' }
    expect(config.stores['new']).toMatchObject({
      tls: secured,
      sentinel: { username: null, password: null, tls: secured },
    })
    expect(config.stores['plain']).toMatchObject({ tls, sentinel: { tls: null } })
    expect(JSON.stringify(redactConfig(config))).not.toContain('two')
  })

  it('as in the documentation is understood, without a word', () => {
    const { config, warnings } = load(CONTRACT, SECRETS)
    expect(warnings).toEqual([])
    expect(config.admin).toEqual({
      url: 'http://127.0.0.1:9380',
      host: '127.0.0.1',
      port: 9380,
      token: 'token-1',
      tls: null,
    })
    expect(config.stateDir).toBe(join(cwd, '.understudy'))
    expect(config.stores['new']).toEqual({
      name: 'new',
      url: 'rediss://cache.example:6379/0',
      kind: 'single',
      endpoints: [{ kind: 'tcp', host: 'cache.example', port: 6379 }],
      sentinelName: null,
      sentinel: null,
      tls: { caFile: null, certFile: null, keyFile: null, serverName: null, verify: true },
      username: 'app',
      password: 'password-1',
      database: 0,
      timeoutMs: 5000,
      connectTimeoutMs: 2000,
      dataDir: null,
    })
    expect(config.routes[0]).toEqual({
      name: 'jobs',
      keys: ['job:{rest}', 'jobs:{state}', 'worker:{id}:jobs'],
      source: { store: 'old', keys: {}, channels: {} },
      target: {
        store: 'old',
        keys: {
          'job:{rest}': 'step:{rest}',
          'jobs:{state}': 'steps:{state}',
          'worker:{id}:jobs': 'worker:{id}:steps',
        },
        channels: { job_events: 'step_events' },
      },
      phase: 'shadow',
      mirror: { mode: 'async', backlogBytes: 64 * 1024 * 1024, timeoutMs: 100, onShadowError: 'ignore' },
      compare: {
        sample: 0.01,
        ttlToleranceMs: 2000,
        ignoreJson: ['$.updatedAt'],
        always: [],
        never: [],
        reveal: 'masked',
        repair: false,
        decode: [],
        baseline: false,
        acknowledge: [],
      },
      readTimeoutMs: 200,
      scripts: 'copy',
    })
  })

  it('has defaults for everything but stores and routes', () => {
    const { config } = load(SMALL)
    expect(config.listen.map(({ url }) => url)).toEqual(['redis://127.0.0.1:6380'])
    expect(config.admin?.url).toBe('http://127.0.0.1:9380')
    expect(config.clients).toEqual({
      auth: 'store',
      users: {},
      maxClients: 10_000,
      dedicatedConnections: 4_000,
      subscriberConnections: 1_000,
      outputBuffer: {
        normal: { hardBytes: 256 * 1024 * 1024, softBytes: 0, softMs: 0 },
        pubsub: { hardBytes: 32 * 1024 * 1024, softBytes: 8 * 1024 * 1024, softMs: 60_000 },
      },
    })
    expect(config.cutover).toEqual({ holdTimeoutMs: 5000, maxMismatchRate: 0.0001, minCompared: 0 })
    expect(config.log).toEqual({ level: 'info', format: 'json' })
    expect(config.routes[0]).toMatchObject({ phase: 'passthrough', compare: { sample: 0 } })
  })

  it('has short forms', () => {
    const { config } = load(`listen: [unix:///a, redis://127.0.0.1:0]\nadmin: off\n${SMALL}`)
    expect(config.listen.map(({ endpoint }) => endpoint.kind)).toEqual(['unix', 'tcp'])
    expect(config.admin).toBeNull()
    expect(config.routes[0]!.target).toEqual({ store: 'new', keys: {}, channels: {} })
    expect(load(`admin: false\n${SMALL}`).config.admin).toBeNull()
    expect(load(`admin: http://127.0.0.1:0\n${SMALL}`).config.admin?.port).toBe(0)
  })

  it('expands variables in values and in the keys of maps, and takes numbers and flags from them', () => {
    const text = `stores:
  old: "redis://\${HOST}:\${PORT:-7000}"
  new: { url: redis://b, database: "\${DB}", timeout: "\${TIMEOUT:-1s}" }
routes:
- { name: rest, keys: ["*"], source: old, target: new, compare: { repair: "\${REPAIR}" } }
- { name: "\${APP}", keys: ["\${APP}:{x}", "$\${{literal"], source: old, target: { store: new, keys: { "\${APP}:{x}": "new-\${APP}:{x}" } } }
clients:
  max: \${MAX:-50}
`
    // The pattern "${literal" would open a capture; doubled, the brace is literal.
    const { config } = load(text, {
      HOST: 'cache',
      DB: '3',
      REPAIR: 'true',
      APP: 'shop',
    })
    expect(config.stores['old']!.endpoints).toEqual([{ kind: 'tcp', host: 'cache', port: 7000 }])
    expect(config.stores['new']).toMatchObject({ database: 3, timeoutMs: 1000 })
    expect(config.routes[0]!.compare.repair).toBe(true)
    expect(config.routes[1]).toMatchObject({ name: 'shop', target: { keys: { 'shop:{x}': 'new-shop:{x}' } } })
    expect(config.routes[1]!.keys[1]).toBe('${{literal')
    expect(config.clients.maxClients).toBe(50)
  })

  it('cannot be changed in structure by a variable', () => {
    const { config } = load(`stores: { old: { url: redis://a, password: "\${PW}" }, new: redis://b }\n${REST}`, {
      PW: 'x }\nadmin: off # "\'',
    })
    expect(config.stores['old']!.password).toBe('x }\nadmin: off # "\'')
    expect(config.admin).not.toBeNull()
  })

  it('reads secrets from files, without the newline at their end', () => {
    writeFileSync(join(cwd, 'secret'), ' pass word \n')
    const { config } = load(`stores: { old: { url: redis://a, password: { file: secret } }, new: redis://b }\n${REST}`)
    expect(config.stores['old']!.password).toBe(' pass word ')
  })

  it('refuses secrets and certificates in what is no file, or far too large, and waits for nobody', () => {
    execFileSync('mkfifo', [join(cwd, 'pipe')])
    writeFileSync(join(cwd, 'large'), Buffer.alloc(5 * 2 ** 20, 'x'))
    const why = (name: string): string[] => {
      const file = { file: name }
      const tls = { ca: name, cert: name, key: name }
      try {
        load(
          JSON.stringify({
            admin: { url: 'https://127.0.0.1:9380', token: file, tls: { cert: name, key: name } },
            clients: { users: { app: file } },
            stores: { old: { url: 'rediss://a', password: file, tls }, new: 'redis://b' },
            routes: [{ name: 'r', keys: ['*'], source: 'old' }],
          }),
        )
      } catch (error) {
        if (error instanceof ConfigError) return error.problems.map(({ message }) => message)
        throw error
      }
      return []
    }
    const reasons = {
      pipe: 'it is no regular file, but a pipe, a socket or a device',
      '/dev/zero': 'it is no regular file, but a pipe, a socket or a device',
      '.': 'it is a directory',
      large: 'it has 5 MB, and 4 are the most',
    }
    for (const [name, reason] of Object.entries(reasons))
      expect(why(name)).toEqual(Array(8).fill(`the file ${name} cannot be read: ${reason}`))
  })

  it('takes credentials from a URL when nothing else is said', () => {
    const { config } = load(`stores: { old: "redis://app:p%20w@a/2", new: redis://b }\n${REST}`)
    expect(config.stores['old']).toMatchObject({ url: 'redis://a/2', username: 'app', password: 'p w', database: 2 })
  })

  it('repeats parts by anchors', () => {
    const { config } = load(`${STORES}routes:
- { name: a, keys: ["a:*"], source: old, mirror: &m { backlog: 1mb } }
- { name: rest, keys: ["*"], source: old, mirror: *m }
`)
    expect(config.routes.map(({ mirror }) => mirror.backlogBytes)).toEqual([1024 * 1024, 1024 * 1024])
  })

  it('is frozen through and through, and can be sent to a thread', () => {
    const { config } = load(CONTRACT, SECRETS)
    const check = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return
      expect(Object.isFrozen(value)).toBe(true)
      for (const inner of Object.values(value)) check(inner)
    }
    check(config)
    expect(structuredClone(config)).toEqual(config)
  })

  it('allows two databases of one server as long as no route mirrors there', () => {
    const { config } = load(`stores: { old: redis://a, other: redis://a/1 }
routes:
- { name: x, keys: ["a:{x}"], source: other }
- { name: rest, keys: ["*"], source: old }`)
    expect(config.routes.map(({ source }) => source.store)).toEqual(['other', 'old'])
  })

  it('allows renames that change different patterns in the same way, and stores on several servers', () => {
    const { config } = load(`stores: { old: redis://a, new: redis://b, other: redis://c/1 }
routes:
- { name: rest, keys: ["*"], source: old, target: other }
- name: jobs
  keys: ["job:{id}:meta", "job:1", "job:{rest}", "worker:1:jobs", "worker:{id}:jobs", "worker:2:jobs"]
  source: old
  target:
    store: new
    keys:
      "job:{id}:meta": "step:{id}:meta"
      "job:{rest}": "step:{rest}"
      "job:1": "step:1"
      "worker:{id}:jobs": "worker:{id}:steps"
      "worker:1:jobs": "worker:1:steps"
      "worker:2:jobs": "worker:2:steps"
`)
    expect(config.routes).toHaveLength(2)
  })
})

describe('the hash of a configuration', () => {
  it('changes with the content, also with a secret, and not with comments or order of keys in a text', () => {
    const { hash } = load(CONTRACT, SECRETS)
    expect(hash).toMatch(/^[0-9a-f]{16}$/)
    expect(load(`# comment\n${CONTRACT}`, SECRETS).hash).toBe(hash)
    expect(load(CONTRACT.replace('phase: mirror', 'phase: shadow'), SECRETS).hash).not.toBe(hash)
    expect(load(CONTRACT, { ...SECRETS, NEW_REDIS_PASSWORD: 'password-2' }).hash).not.toBe(hash)
  })
})

describe('phases from the environment', () => {
  const text = `${CONTRACT}  - { name: plain, keys: ["plain:*"], source: old }\n`
  const phases = (env: Record<string, string>) => {
    const { config, phaseOverrides, warnings } = load(text, { ...SECRETS, ...env })
    return {
      phases: config.routes.map(({ phase }) => phase),
      phaseOverrides,
      warnings: warnings.map(({ message }) => message),
    }
  }

  it('override the file for one route', () => {
    expect(phases({ UNDERSTUDY_PHASE_EVERYTHING_ELSE: 'switched' })).toEqual({
      phases: ['shadow', 'switched', 'passthrough'],
      phaseOverrides: { 'everything-else': 'UNDERSTUDY_PHASE_EVERYTHING_ELSE' },
      warnings: [],
    })
  })

  it('override the file for every route that has a target, after the route’s own', () => {
    expect(phases({ UNDERSTUDY_PHASE: 'done', UNDERSTUDY_PHASE_JOBS: 'mirror' })).toMatchObject({
      phases: ['mirror', 'done', 'passthrough'],
      phaseOverrides: { jobs: 'UNDERSTUDY_PHASE_JOBS', 'everything-else': 'UNDERSTUDY_PHASE' },
    })
  })

  it('count as unset when empty, and are worth a warning when they belong to no route', () => {
    expect(phases({ UNDERSTUDY_PHASE: '', UNDERSTUDY_PHASE_JOBS: '', UNDERSTUDY_PHASE_JOSB: 'done' })).toEqual({
      phases: ['shadow', 'mirror', 'passthrough'],
      phaseOverrides: {},
      warnings: ['the environment variable UNDERSTUDY_PHASE_JOSB is set, and no route has this name'],
    })
  })
})

describe('users', () => {
  it('are kept as hashes of their passwords, and never shown', () => {
    const { config, warnings } = load(
      `stores: { old: redis://a, new: redis://b }
clients: { users: { default: { env: A_SECRET }, app: [literal, { env: A_SECRET }] } }
${REST}`,
      { A_SECRET: 'word' },
    )
    expect(config.clients.auth).toBe('users')
    expect(config.clients.users['app']).toEqual([
      expect.stringMatching(/^[0-9a-f]{64}$/),
      config.clients.users['default']![0],
    ])
    expect(JSON.stringify(config)).not.toContain('literal')
    expect(redactConfig(config).clients.users).toEqual({ default: ['***'], app: ['***', '***'] })
    expect(warnings).toMatchObject([{ path: 'clients.users.app[0]', message: expect.stringContaining('a secret') }])
  })

  it('are missed where strangers reach the listener', () => {
    const text = `stores: { old: redis://a, new: redis://b }\n${REST}listen: ['redis://0.0.0.0:6380']\n`
    expect(load(text).warnings.map(({ path }) => path)).toEqual(['listen[0]'])
    expect(load(`${text}clients: { auth: passthrough }`).warnings).toEqual([])
  })
})

describe('a warning', () => {
  it('has a line, and leaves the configuration usable', () => {
    const { warnings } = load(`stores:
  old: { url: redis://a, password: hunter2 }
  new: { url: rediss://b, tls: { verify: false } }
  more: redis://u:hunter2@c
${REST}`)
    expect(warnings.map(({ line, path }) => [line, path])).toEqual([
      [2, 'stores.old.password'],
      [3, 'stores.new.tls.verify'],
      [4, 'stores.more'],
      [4, 'stores.more'],
    ])
    for (const { message } of warnings) expect(message).not.toContain('hunter2')
  })
})

describe('a configuration file', () => {
  it('that is not there, or is a directory, is told so in one line', () => {
    expect(() => loadConfig(join(cwd, 'nowhere.yaml'), {})).toThrow(
      /nowhere\.yaml cannot be read: it does not exist; name/,
    )
    expect(() => loadConfig(cwd, {})).toThrow(/cannot be read: it is a directory/)
  })

  it('that does not hold text is refused and not taken apart', () => {
    const path = join(cwd, 'binary.yaml')
    writeFileSync(path, Buffer.from([0, 1, 2, 0xff, 0xfe, 10, 0x80]))
    expect(() => loadConfig(path, {})).toThrow(/binary\.yaml cannot be read: it is not UTF-8/)
  })

  it('in another encoding is refused: its patterns would match other keys than they say', () => {
    const path = join(cwd, 'latin1.yaml')
    const text = 'stores: { old: redis://a }\nroutes: [{ name: r, keys: ["caf\u00e9:{id}", "*"], source: old }]\n'
    writeFileSync(path, text, 'latin1')
    expect(() => loadConfig(path, {})).toThrow(/it is not UTF-8 text; save it as UTF-8/)
    writeFileSync(path, text)
    expect(loadConfig(path, {}).config.routes).toHaveLength(1)
  })

  it('that is far too long is refused before it is read', () => {
    const path = join(cwd, 'long.yaml')
    writeFileSync(path, `# ${'x'.repeat(5 * 2 ** 20)}\n`)
    expect(() => loadConfig(path, {})).toThrow(/it has 5 MB, and 4 are the most/)
    expect(() => loadConfig('/dev/zero', {})).toThrow(/it has more than 4 MB/)
  })

  it('that comes with Understudy is understood, without a word', () => {
    const path = fileURLToPath(new URL('../../../config/understudy.yaml', import.meta.url))
    const { config, warnings } = loadConfig(path, {})
    expect(warnings).toEqual([])
    expect(config.listen.map(({ url }) => url)).toEqual(['redis://127.0.0.1:6380'])
    expect(config.admin?.url).toBe('http://127.0.0.1:9380')
    expect(Object.values(config.stores).map(({ kind }) => kind)).toEqual(['managed', 'managed'])
    expect(config.routes.map(({ name }) => name)).toEqual(['jobs', 'everything-else'])
    expect(readFileSync(path, 'utf8')).toContain('$schema=./understudy.schema.json')
  })
})

describe('a configuration from URLs', () => {
  it('has one route for every key', () => {
    const { config } = configFromUrls({ source: 'redis://a', target: 'redis://:p${x}@b', phase: 'mirror' })
    expect(config.routes).toMatchObject([
      { name: 'all', keys: ['*'], source: { store: 'source' }, target: { store: 'target' }, phase: 'mirror' },
    ])
    expect(config.stores['target']!.password).toBe('p${x}')
  })

  it('needs no target, and takes other addresses', () => {
    const { config } = configFromUrls({ source: 'redis://a', listen: 'redis://127.0.0.1:0', admin: 'off' })
    expect(config.routes).toMatchObject([{ target: null, phase: 'passthrough' }])
    expect(config.listen.map(({ url }) => url)).toEqual(['redis://127.0.0.1:0'])
    expect(config.admin).toBeNull()
  })

  it.each([
    [{ source: 'http://a' }, 'the command line: --source: "http://" is not a URL'],
    [{ source: 'redis://a', target: 'redis://' }, '--target: the host is missing'],
    [{ source: 'redis://a', target: 'redis://a' }, '--target: source and target are'],
    [{ source: 'redis://a', phase: 'mirror' as const }, '--phase: the phase mirror needs a target'],
    [{ source: 'redis://a', phase: 'mirorr' as 'mirror' }, '--phase: "mirorr" is not one of'],
    [{ source: 'redis://a', listen: 'a' }, '--listen: this is not a URL'],
    [{ source: 'redis://a', admin: 'http://0.0.0.0:1' }, '--admin: 0.0.0.0 can be reached'],
  ])('%j is refused by the name of the option', (options, message) => {
    expect(() => configFromUrls(options)).toThrow(message)
  })
})
