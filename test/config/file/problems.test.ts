// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references to variables in YAML look like template strings
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../../src/config/file/load.ts'
import { ConfigError, type Problem } from '../../../src/config/file/problems.ts'

const env = { SET: 'value', EMPTY: '', PORT: '70000' }
const cwd = mkdtempSync(join(tmpdir(), 'understudy-config-'))
writeFileSync(join(cwd, 'empty'), '\n')
for (const [certFile, keyFile] of [
  ['cert.pem', 'key.pem'],
  ['other-cert.pem', 'other.pem'],
] as const) {
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'test' }], {
    keyType: 'ec',
    algorithm: 'sha256',
  })
  writeFileSync(join(cwd, certFile), cert)
  writeFileSync(join(cwd, keyFile), key)
}

function problemsOf(text: string, variables: Record<string, string> = env): readonly Problem[] {
  try {
    parseConfig(text, { path: 'test.yaml', env: variables, cwd })
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

/**
 * In these files `#!` marks a line that has a problem, followed by a part of its message; twice for two problems. The test fails for a problem
 * that is missing, that is on another line, and for one too many.
 */
const STORES = 'stores: { old: redis://a, new: redis://b }\n'
const REST = '- { name: rest, keys: ["*"], source: old, target: new }\n'
const ROUTES = `routes:\n${REST}`

const cases: Record<string, string> = {
  'an empty file': '#! the file is empty\n',
  'a document that holds nothing': '--- #! the file is empty\n',
  'a document that is null': 'null #! the file is empty\n',
  'a file that is not a map': 'just text #! must be a map',
  'a list': '- a #! must be a map',
  'a broken quote': `${STORES}${ROUTES}stateDir: "x" y" #! unexpected scalar at node end`,
  'wrong indentation': 'stores:\n  old: redis://a\n new: redis://b #! all mapping items must start at the same column',
  'an unquoted star': `${STORES}routes:\n- { name: rest, keys: [*], source: old } #! needs quotes`,
  'an unquoted pattern': `${STORES}${ROUTES}- name: x\n  keys: [job:{rest}] #! put quotes around a pattern\n  source: old`,
  'an unquoted variable in braces': `${STORES}${ROUTES}clients: { max: \${MAX} } #! needs quotes here`,
  'a list of patterns that is a text': `${STORES}${ROUTES}- { name: x, keys: "job:*", source: old } #! must be a list, not a text`,
  'a key twice': `${STORES}${ROUTES}log: { level: info }\nlog: { level: warn } #! stands here twice`,
  'a key twice after expansion': `${STORES}${ROUTES}clients: { max: 1, max: 2 } #! stands here twice`,
  'a second document': `${STORES}${ROUTES}---\n #! second document\n`.replace('---\n #!', '--- #!'),
  'an anchor that contains itself': `${STORES}${ROUTES}listen: &a [*a] #! contains itself`,
  'a day that does not exist': `${STORES}routes:\n- name: rest\n  keys: ["*"]\n  source: old\n  compare:\n    acknowledge:\n      - { reason: x, until: 2036-02-31 } #! must be a day that exists: there is no 2036-02-31`,
  'an unknown anchor': `${STORES}${ROUTES}listen: *nowhere #! no anchor`,
  'a tag': `${STORES}${ROUTES}stateDir: !dir x #! begins with "!" needs quotes`,
  'a tag that YAML knows': `${STORES}${ROUTES}stateDir: !!binary AA== #! begins with "!" needs quotes`,
  'a store without a name':
    'stores:\n  : redis://a/2 #! a name has letters\n  old: redis://b/3\nroutes: [{ name: rest, keys: ["*"], source: old }]',
  'a colon without a space behind it': `${STORES}routes:\n- { name: rest, keys: ["*"], source:old } #! a space behind the colon\n`,
  'keys alone, where a comma has parted a text': `stores:\n  old: { url: redis://a, password:x, #! a space behind the colon\n    y } #! quotes around a text with a comma\n  new: { url: redis://b, password: x,\n    y } #! quotes around a text with a comma\n${ROUTES}`,
  'a colon within a key': `${STORES}${ROUTES}log: { level:info: x } #! a key ends at a colon with a space behind it`,
  'nothing but a comment key': 'listen: [redis://127.0.0.1:1] #! stores: #! routes:',
  'empty stores and routes': 'stores: {} #! at least one store\nroutes: [] #! at least one entry',

  'an unknown key, with the one that was meant': `${STORES}${ROUTES}clints: { max: 1 } #! did you mean "clients"`,
  'an unknown key of a password': `${STORES}${ROUTES}clients: { auth: users, users: { a: { evn: X } } } #! did you mean "env" #! is missing`,
  'unknown keys at every depth': [
    `stores: { old: { url: redis://a, timout: 1s }, new: redis://b } #! did you mean "timeout"`,
    `${ROUTES}  compare:`,
    '    ignore: { jsn: [] } #! did you mean "json"',
    '    sampel: 1% #! did you mean "sample"',
    'admin: { url: "http://127.0.0.1:1", tokn: x } #! did you mean "token"',
  ]
    .join('\n')
    .replace('target: new }\n  compare:', 'target: new,\n  compare: {')
    .replace('    ignore: { jsn: [] } #!', '    ignore: { jsn: [] }, #!')
    .replace('    sampel: 1% #!', '    sampel: 1% } } #!'),
  'bad units': [
    STORES + ROUTES.replace(' }\n', ','),
    '    readTimeout: 5, #! is not a time',
    '    mirror: { backlog: 64, #! is not a size',
    '      timeout: 3 days }, #! is not a time',
    '    compare: { sample: 5, #! is not a percentage',
    '      ttlTolerance: 2x } } #! is not a time',
    'clients: { max: 0, #! must be at least 1',
    '  outputBuffer: big } #! is not a size',
    'cutover: { holdTimeout: 1e3 } #! is not a time',
  ].join('\n'),
  'no room for replies': [
    STORES + ROUTES,
    'clients: { outputBuffer: 0 } #! must be more than 0',
    'toString: 1 #! is not a key that is known here',
  ].join('\n'),
  'no room for replies of subscribers': [
    STORES + ROUTES,
    'clients: { outputBuffer: { hard: 0, #! must be more than 0',
    '  pubsub: { hard: 0 } } } #! must be more than 0',
  ].join('\n'),
  'values outside their lists': [
    STORES + ROUTES.replace(' }\n', ','),
    '    phase: shado, #! did you mean "shadow"',
    '    mirror: { mode: asynch, onShadowError: fial }, #! did you mean "async" #! did you mean "fail"',
    '    compare: { reveal: all, repair: maybe } } #! this is not one of masked, values #! must be true or false',
    'log: { level: verbose, format: yaml } #! not one of debug, info, warn, error #! not one of json, pretty',
  ].join('\n'),
  'values of the wrong kind': `${STORES}${ROUTES}listen: 5 #! must be a list, not a number\nlog: warn #! must be a map`,
  'a number where a text is expected': `stores:\n  old: { url: redis://a, password: 12345 } #! put quotes around it\n  new: redis://b\n${ROUTES}`,
  'an option of the wrong unit': `${STORES}${ROUTES}clients: { outputBuffer: { soft: 64xb } } #! this is not a size`,
  'a map or a list where an amount is expected': `${STORES}${ROUTES}clients:\n  max: [1] #! must be a number or a text, not a list\n  outputBuffer: { hard: { x: 1 } } #! must be a text or a number, not a map`,
  'nothing where a value is expected': [
    'stores:',
    '  old: { url: redis://a, password: } #! must be a text or a map, not nothing; write a value, or leave it out',
    '  new:',
    '    url: redis://b',
    '    timeout: #! not nothing; write a value, or leave it out',
    `${ROUTES}clients: #! must be a map, not nothing; write a value, or leave it out`,
  ].join('\n'),
  'numbers that are not whole': `stores:\n  old: redis://a\n  new: { url: redis://b, database: 1.5 } #! must be a whole number\n${ROUTES}clients: { max: .nan } #! must be a finite number`,
  'stores that are none': `stores: redis://a #! must be a map from names\n${ROUTES}`,
  'a bad JSON path': `${STORES}${ROUTES.replace(' }\n', ', compare: { ignore: { json: [updatedAt] } } } #! begins with "$."')}`,

  'variables that are missing': `stores: { old: redis://a, new: "redis://\${NO_HOST}" } #! NO_HOST is not set\n${ROUTES}stateDir: \${1} #! only`,
  'missing secrets': [
    'stores:',
    '  old: { url: redis://a, password: { env: NO_PASSWORD } } #! NO_PASSWORD is not set',
    '  new: { url: redis://b, password: { env: EMPTY } } #! EMPTY is empty',
    '  more: { url: redis://c, password: { file: missing } } #! it does not exist',
    '  last: { url: redis://d, password: { file: empty } } #! is empty',
    `${ROUTES}admin: { url: "http://127.0.0.1:1", token: { environment: X } } #! is missing #! must be a text, { env: NAME } or { file: PATH }`,
  ].join('\n'),
  'missing certificates': [
    'stores:',
    '  old: { url: rediss://a, tls: { ca: missing.pem } } #! missing.pem cannot be read',
    '  new: { url: rediss://b, tls: { cert: empty } } #! a certificate needs its key',
    '  more: { url: redis://c, tls: {} } #! only a rediss:// URL has TLS',
    ROUTES,
  ].join('\n'),

  'listeners that cannot be opened as they are': [
    'listen:',
    '- rediss://127.0.0.1:1 #! rediss:// needs a certificate',
    '- { url: redis://127.0.0.1:2, tls: { cert: empty, key: empty } } #! only a rediss:// listener has TLS',
    '- { url: rediss://127.0.0.1:3, tls: { cert: missing.pem, key: empty } } #! missing.pem cannot be read',
    '- { url: rediss://127.0.0.1:4, tls: { cert: empty, key: empty } } #! cannot be used',
    '- { url: redis://127.0.0.1:5, mode: "0770" } #! only a unix:// listener has a file',
    '- { url: unix:///a, mode: rw } #! in octal',
    '- { url: rediss://127.0.0.1:6, tls: { cert: cert.pem, key: key.pem, clientCertificates: required } } #! in "ca"',
    '- { url: rediss://127.0.0.1:7, tls: { cert: cert.pem, key: key.pem, ca: empty } } #! not a PEM file',
    '- { url: rediss://127.0.0.1:8, tls: { cert: cert.pem, key: key.pem, ca: cert.pem, clientCertificates: none } } #! of no use',
    '- { url: rediss://127.0.0.1:9, tls: { cert: cert.pem, key: other.pem } } #! the key belongs to another certificate',
    `${STORES}${ROUTES}`,
  ].join('\n'),

  'users who could not log in': [
    'clients:',
    '  auth: passthrough',
    '  users: #! remove one of the two',
    '    app: { env: MISSING } #! MISSING is not set',
    '    other: [{ env: SET }, { env: EMPTY }] #! EMPTY is empty',
    `${STORES}${ROUTES}`,
  ].join('\n'),
  'a user with a space': `${STORES}${ROUTES}clients:\n  users:\n    "my user": { env: SET } #! has no spaces`,
  'users without anybody': `${STORES}${ROUTES}clients: { auth: users } #! nobody could log in`,

  'bad store URLs': [
    'stores:',
    '  old: cache:6379 #! is not a URL understood here',
    '  new: { url: redis://h:0 } #! the port is not between',
    '  more: {} #! is missing',
    '  less: #! must be a map',
    ROUTES,
  ].join('\n'),
  'bad store names': `stores: { old: redis://a, new: redis://b, "my store": redis://c } #! a name has letters\n${ROUTES}`,
  'a name that JavaScript reserves': `stores: { old: redis://a, new: redis://b, __proto__: redis://c } #! cannot be used\n${ROUTES}`,
  'what managed stores do not have': [
    'stores:',
    '  old: { url: "managed:", password: { env: SET }, tls: {} } #! remove it #! remove it #! only a rediss:// URL has TLS',
    '  new: { url: redis://b, dataDir: x } #! only a managed: store',
    ROUTES,
  ].join('\n'),
  'one data directory for two stores': `stores:\n  old: { url: "managed:", dataDir: x }\n  new: { url: "managed:", dataDir: ./x } #! the directory of the store old\n${ROUTES}`,
  'Sentinel options': [
    'stores:',
    '  old: { url: redis://a, sentinel: {} } #! only a redis+sentinel:// URL',
    '  new: { url: redis+sentinel://b/c, tls: {}, sentinel: { username: x, tls: { ca: nowhere } } } #! only a rediss:// #! a user has a password #! cannot be read',
    ROUTES,
  ].join('\n'),
  'a password in two places': `stores:\n  old: { url: "redis://u:p@a", username: u, password: { env: SET } } #! take the username out #! take the password out\n  new: redis://b\n${ROUTES}`,
  'a database in two places': `stores:\n  old: { url: redis://a/1, database: 2 } #! keep one\n  new: redis://b\n${ROUTES}`,
  'admin by https without a certificate': `admin: https://127.0.0.1:2 #! needs a certificate\nstores:\n  old: redis://a\n  new: redis://b\n${ROUTES}`,
  'admin by http with one': `admin: { url: "http://127.0.0.1:2", tls: { cert: nothing.crt, key: nothing.key } } #! only an https:// address has TLS\nstores:\n  old: redis://a\n  new: redis://b\n${ROUTES}`,
  'a database of a cluster': `stores:\n  old: redis://a\n  new: { url: redis+cluster://b, database: 1 } #! a cluster has no databases\n${ROUTES}`,

  'two listeners on one address': `listen:\n- redis://127.0.0.1:7000\n- redis://0.0.0.0:7000 #! same address\n- unix:///a\n- url: unix:///a #! same address\n${STORES}${ROUTES}`,
  'admin on a listener': `listen: [redis://127.0.0.1:7000]\nadmin: http://localhost:7000 #! same address\n${STORES}${ROUTES}`,
  'a bad listener': `listen: [http://a, {}] #! not a URL #! is missing\n${STORES}${ROUTES}`,
  'no listener': `listen: [] #! at least one entry\n${STORES}${ROUTES}`,
  'admin without a token beyond loopback': `admin: http://0.0.0.0:9380 #! a token is required\n${STORES}${ROUTES}`,
  'a store that is the proxy itself': `stores:\n  old: redis://localhost:6380 #! Understudy's own listener\n  new: redis://b\n${ROUTES}`,

  'unknown stores': `${STORES}${ROUTES}- { name: x, keys: [a], source: odl, target: { store: nwe } } #! did you mean "old" #! did you mean "new"`,
  'a route without its parts': `${STORES}${ROUTES}- { phase: passthrough } #! name: is missing #! keys: is missing #! source: is missing`,
  'no patterns': `${STORES}${ROUTES}- { name: x, keys: [], source: old } #! at least one pattern`,
  'a bad route name': `${STORES}${ROUTES}- { name: "my route", keys: [a], source: old } #! a name has letters`,
  'one name for two routes': `${STORES}${ROUTES}- { name: rest, keys: [a], source: old } #! another route is called "rest"`,
  'bad patterns': `${STORES}${ROUTES}- { name: x, keys: ["a{", "b*c", "{a}{b}"], source: old } #! opens a brace #! a "*" before its end #! side by side`,
  'no route for all other keys': `${STORES}routes: #! no route has the pattern "*"\n- { name: x, keys: ["{all}"], source: old }`,
  'a pattern twice in a route': `${STORES}${ROUTES}- name: x\n  source: old\n  keys:\n  - "a:{x}"\n  - "a:{x}" #! stands in this route already`,
  'a pattern of another route': `${STORES}${ROUTES}- { name: x, keys: ["*"], source: old } #! stands in route "rest" already`,
  'patterns that match the same keys equally well': `${STORES}${ROUTES}- { name: x, keys: ["a:{x}"], source: old }\n- { name: y, keys: ["a:{y}"], source: old } #! neither is more specific`,
  'a phase without a target': `${STORES}${ROUTES}- { name: x, keys: [a], source: old, phase: shadow } #! needs a target`,

  'a rename of something that is not a key of the route': `${STORES}${ROUTES}- name: x\n  keys: ["job:{x}"]\n  source: old\n  target:\n    store: new\n    keys:\n      "jobs:{x}": "a:{x}" #! did you mean "job:{x}"`,
  'renames that cannot be undone': [
    `${STORES}${ROUTES}- name: x`,
    '  keys: ["{a}:{b}", "c:{x}", "d:*"]',
    '  source: old',
    '  target:',
    '    store: new',
    '    keys:',
    '      "{a}:{b}": "{b}:{a}" #! cannot be undone: {b} may be',
    '      "c:{x}": "c" #! drops {x}',
    '      "d:*": "e:{d}" #! uses {d}',
  ].join('\n'),
  'a rename to what is not a pattern': `${STORES}${ROUTES}- { name: x, keys: ["a:{x}"], source: old, target: { store: new, keys: { "a:{x}": "b:{x" } } } #! never closes it`,
  'a rename on one server that cannot be undone': `${STORES}${ROUTES}- { name: x, keys: ["c:{x}"], source: old, target: { store: old, keys: { "c:{x}": "d" } } } #! drops {x}`,
  'bad channels': `${STORES}${ROUTES}- { name: x, keys: [a], source: old, target: { store: new, channels: { "e{": f, "g:{x}": "h", i: same, j: same } } } #! opens a brace #! drops {x} #! becomes the same as "i"`,
  'a channel of two routes': `${STORES}${ROUTES}- { name: x, keys: [a], source: old, target: { store: new, channels: { "e:{id}": "f:{id}" } } }\n- { name: y, keys: [b], source: old, target: { store: new, channels: { "e:{n}": "g:{n}" } } } #! "e:{n}" and "e:{id}" of route "x" match the same channels`,
  'channels of two routes that become one': `${STORES}${ROUTES}- { name: x, keys: [a], source: old, target: { store: new, channels: { e: h } } }\n- { name: y, keys: [b], source: old, target: { store: new, channels: { f: h } } } #! the new names of "f" meet those of "e" of route "x"`,

  'a store compared with itself': `${STORES}routes:\n- { name: rest, keys: ["*"], source: old, target: old } #! compared with themselves`,
  'a store compared with itself under another name': `stores: { old: redis://127.0.0.1, new: "redis://localhost:6379/0" }\nroutes:\n- name: rest\n  keys: ["*"]\n  source: old\n  target: { store: new } #! the same database of the same server`,
  'two databases of one server': `stores: { old: redis://127.0.0.1, new: "redis://localhost:6379/1" }\nroutes:\n- name: rest\n  keys: ["*"]\n  source: old\n  target: { store: new } #! databases 0 and 1 of one server`,
  'two databases of one server, under other names': `stores: { old: "unix:///run/r?db=3", new: "unix:///run/r" }\nroutes:\n- name: rest\n  keys: ["*"]\n  source: old\n  target: { store: new, keys: { "*": "app:*" } } #! databases 3 and 0 of one server`,
  'two databases of one server, in two routes': `stores: { old: redis://a, new: redis://b, other: redis://a/1 }\n${ROUTES}- { name: x, keys: ["a:{x}"], source: old, target: new }\n- { name: y, keys: ["b:{x}"], source: other } #! "old" and "other" are databases 0 and 1 of one server`,
  'one pattern without new names in the same store': `${STORES}${ROUTES}- { name: x, keys: ["a:{x}", "b:{x}"], source: old, target: { store: old, keys: { "a:{x}": "c:{x}" } } } #! "b:{x}" has the same names in both`,
  'new names among the old ones of the same store': `${STORES}${ROUTES}- { name: x, keys: ["a:{x}"], source: old, target: { store: old, keys: { "a:{x}": "a:new:{x}" } } } #! fall among the others`,
  'two patterns that become one': [
    `${STORES}${ROUTES}- name: x`,
    '  keys: ["a:{x}", "b:{x}"]',
    '  source: old',
    '  target:',
    '    store: new',
    '    keys:',
    '      "a:{x}": "c:{x}"',
    '      "b:{x}": "c:{x}" #! "c:x", for example, would be two keys',
  ].join('\n'),
  'new names that are keys of another route': [
    `${STORES}${ROUTES}- name: x`,
    '  keys: ["a:{x}"]',
    '  source: old',
    '  target: { store: new, keys: { "a:{x}": "b:{x}" } } #! meet those of "b:*" of route "y"',
    '- name: y',
    '  keys: ["b:*"]',
    '  source: new',
  ].join('\n'),
}

const withoutVariables = (): Record<string, string> => ({})

function expected(text: string): { line: number; message: string }[] {
  return text.split('\n').flatMap((line, i) =>
    line
      .split('#! ')
      .slice(1)
      .map((message) => ({ line: i + 1, message: message.trim() })),
  )
}

describe('a configuration with a problem names it and its line', () => {
  it.each(Object.entries(cases))('%s', (_, text) => {
    const found = problemsOf(text).map(({ line, path, message }) => ({ line, message: `${path}: ${message}` }))
    const wanted = expected(text)
    const describeAll = found.map(({ line, message }) => `${line}: ${message}`).join('\n')
    expect(wanted.length).toBeGreaterThan(0)
    for (const { line, message } of wanted) {
      expect(
        found.some((problem) => problem.line === line && problem.message.includes(message)),
        `line ${line}: ${message}\n${describeAll}`,
      ).toBe(true)
    }
    expect(found, describeAll).toHaveLength(wanted.length)
  })

  it('has the same cases without any environment', () => {
    expect(problemsOf(`${STORES}${ROUTES}`, withoutVariables())).toEqual([])
  })
})

describe('a problem', () => {
  it('has the column, the path, and comes in the order of the file', () => {
    const problems = problemsOf(
      `listen: [redis://127.0.0.1:1]\nlog:\n  levl: info\n${STORES}routes:\n  - name: rest\n    keys: ["*"]\n    source: odl\n`,
    )
    expect(problems.map(({ line, column, path }) => [line, column, path])).toEqual([
      [3, 3, 'log.levl'],
      [8, 13, 'routes[0].source'],
    ])
  })

  it('points into a flow list and to a reference inside a text', () => {
    const problems = problemsOf(
      `stores: { old: "redis://a:\${NO_PORT}", new: redis://b }\n${ROUTES}- { name: x, keys: [ok, "no{"], source: old }`,
    )
    expect(problems.map(({ line, column, path }) => [line, column, path])).toEqual([
      [1, 27, 'stores.old'],
      [4, 25, 'routes[1].keys[1]'],
    ])
  })

  it('shows one line each, as editors read it', () => {
    const text = `${STORES}${ROUTES}log: { level: loud }\nclients: { max: -1 }\n`
    expect(() => parseConfig(text, { path: 'etc/u.yaml', env })).toThrow(
      /^etc\/u\.yaml has 2 problems:\netc\/u\.yaml:4:15: log\.level: this is not one of .*\netc\/u\.yaml:5:17: clients\.max: must be at least 1$/,
    )
  })

  it('never shows a password, wherever it was put', () => {
    const secret = 'hunter2'
    const texts = [
      `stores: { old: "redis://u:${secret}@h:99999", new: "redis://:${secret}" }\n${ROUTES}`,
      `stores: { old: { url: redis://a, password: !${secret} x }, new: redis://b }\n${ROUTES}`,
      `stores: { old: { url: redis://a, password: "${secret} }, new: redis://b }\n${ROUTES}`,
      `stores: { old: redis://a, new: redis://b }\n${ROUTES}log: { level: "\${SECRET}" }\nstateDir: { x: "\${SECRET}" }\n`,
      `stores: { old: redis://a, new: redis://b }\n${ROUTES}- { name: x, keys: ["\${SECRET}{"], source: "\${SECRET}" }\n`,
      `stores: { old: { url: redis://a, password: { env: X, ${secret}: y }, new: redis://b }\n${ROUTES}`,
      `stores: { old: { url: redis://a, password:${secret} }, new: { url: redis://b, password:"${secret}" } }\n${ROUTES}`,
      ...[
        'password:a,SECRET',
        'password:a,"SECRET"',
        'password: a,SECRET',
        '"password:SECRET"',
        'password:SECRET: x',
        'password: { SECRET }',
        'password: { value: a, SECRET: x }',
      ].map(
        (part) => `stores: { old: { url: redis://a, ${part.replace('SECRET', secret)} }, new: redis://b }\n${ROUTES}`,
      ),
      `stores: { old:${secret}: redis://a, new: redis://b }\n${ROUTES}`,
      `${STORES}${ROUTES}admin: { url: "http://127.0.0.1:1", token = ${secret} }\nclients: { users: { app ${secret} } }\n`,
      ...['log: { level: URL }', 'stateDir: [URL]', 'cutover: { holdTimeout: URL }', 'clients: { URL: 1 }'].map(
        (part) => `${STORES}${ROUTES}${part.replace('URL', `"redis://u:${secret}@h"`)}\n`,
      ),
      ...['log: { level: SECRET }', 'cutover: { maxMismatchRate: SECRET }', 'clients: { outputBuffer: SECRET }'].map(
        (part) => `${STORES}${ROUTES}${part.replace('SECRET', secret)}\n`,
      ),
      ...['phase: SECRET', 'readTimeout: SECRET', 'target: SECRET', 'mirror: { mode: SECRET, backlog: SECRET }'].map(
        (part) => `${STORES}${ROUTES}- { name: x, keys: [a], source: old, ${part.replaceAll('SECRET', secret)} }\n`,
      ),
      ...['phase: URL', 'compare: { decode: [URL] }', 'target: { store: new, keys: { a: URL } }'].map(
        (part) =>
          `${STORES}${ROUTES}- { name: x, keys: [a], source: old, ${part.replace('URL', `"redis://u:${secret}@h{"`)} }\n`,
      ),
    ]
    for (const text of texts) {
      const problems = problemsOf(text, { SECRET: secret })
      expect(problems.length, text).toBeGreaterThan(0)
      for (const { path, message } of problems) expect(`${path}: ${message}`, text).not.toContain(secret)
    }
  })

  it('of a phase override names the variable', () => {
    const text = `${STORES}${ROUTES}- { name: a-b, keys: [a], source: old }\n- { name: a_b, keys: [b], source: old }\n`
    const problems = problemsOf(text, { UNDERSTUDY_PHASE_A_B: 'mirror', UNDERSTUDY_PHASE_REST: 'mirrored' })
    expect(problems.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      expect.stringMatching(
        /^routes\[0\]\.phase: the environment variable UNDERSTUDY_PHASE_REST is "mirrored", not one of/,
      ),
      expect.stringMatching(
        /^routes\[1\]\.phase: the phase mirror \(from the environment variable UNDERSTUDY_PHASE_A_B\) needs a target/,
      ),
      expect.stringMatching(
        /^routes\[2\]\.phase: the phase mirror \(from the environment variable UNDERSTUDY_PHASE_A_B\) needs a target/,
      ),
      expect.stringMatching(
        /^routes\[2\]\.name: the environment variable UNDERSTUDY_PHASE_A_B means this route and "a-b"/,
      ),
    ])
  })
})
