import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/file/load.ts'
import { type PhaseChange, phaseChange } from '../../src/config/phase-change.ts'

let dir: string
let file: string

const TEXT = `# kept
stores: { old: "redis://127.0.0.1:7001", new: "redis://127.0.0.1:7002" }
routes:
  - { name: jobs, keys: ["job:{id}"], source: old, target: new, phase: shadow }
  - { name: late, keys: ["late:{id}"], source: old, target: new, phase: passthrough }
  - { name: rest, keys: ["*"], source: old, target: new, phase: shadow }
clients: { max: 100 }
`

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'understudy-phase-'))
  file = join(dir, 'understudy.yaml')
  writeFileSync(file, TEXT)
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

/** What a change of the phase of `jobs` would be, while what stood in the file first is in force. */
async function change(edit: (text: string) => string = (text) => text): Promise<PhaseChange> {
  const { config } = loadConfig(file, {})
  writeFileSync(file, edit(TEXT))
  return phaseChange(config, file, {}, ['jobs'], 'mirror')
}

test('it is that phase, and nothing else', async () => {
  const { routes, next, save } = await change()
  expect(routes.map(({ phase }) => phase)).toEqual(['shadow'])
  expect(next.routes.map(({ name, phase }) => `${name} ${phase}`)).toEqual([
    'jobs mirror',
    'late passthrough',
    'rest shadow',
  ])
  await save()
  expect(readFileSync(file, 'utf8')).toBe(TEXT.replace('phase: shadow', 'phase: mirror'))
})

test('of several routes, in one file', async () => {
  const { config } = loadConfig(file, {})
  const { routes, next, save } = await phaseChange(config, file, {}, ['rest', 'jobs'], 'mirror')
  expect(routes.map(({ name }) => name)).toEqual(['rest', 'jobs'])
  expect(next.routes.map(({ phase }) => phase)).toEqual(['mirror', 'passthrough', 'mirror'])
  await save()
  expect(readFileSync(file, 'utf8')).toBe(TEXT.replaceAll('phase: shadow', 'phase: mirror'))
  await expect(phaseChange(config, file, {}, ['rest', 'jbos'], 'mirror')).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test.each<[string, RegExp, (text: string) => string]>([
  [
    'a name that no anchor has',
    /:4:26: routes\[0\]\.keys\[0\]: no anchor of this name/,
    (text) => text.replace('"job:{id}"', '*:job'),
  ],
  ['a bracket that is not closed', /:\d+:\d+: this is not YAML/, (text) => text.replace('100 }', '100')],
])('in a file with %s what is wrong is said with its place', async (_, problem, edit) => {
  await expect(change(edit)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(problem),
  })
})

test('where the disk does not take the file it says that the phase is in force, and leaves nothing half written', async () => {
  const { save } = await change()
  // What is written beside it cannot be.
  mkdirSync(`${file}.${process.pid}.tmp`)
  await expect(save()).rejects.toMatchObject({
    code: 'ADMIN_REFUSED',
    message: expect.stringMatching(
      /the phase is in force, but the configuration file could not be written: EISDIR.*phase: mirror/,
    ),
  })
  expect(readFileSync(file, 'utf8')).toBe(TEXT)
})

test.each<[string, string, (text: string) => string]>([
  ['the phase of another route', "route 'late'", (text) => text.replace('passthrough', 'switched')],
  ['something else of a route', "route 'rest'", (text) => text.replace('["*"]', '["*"], mirror: { mode: sync }')],
  ['something else of the route itself', "route 'jobs'", (text) => text.replace('"job:{id}"', '"jobs:{id}"')],
  ['a store', "store 'new'", (text) => text.replace('7002', '7003')],
  ['another part', 'clients', (text) => text.replace('100', '200')],
  [
    'a route more',
    "route 'more'",
    (text) => text.replace('  - { name: late', '  - { name: more, keys: ["m"], source: old }\n  - { name: late'),
  ],
])('refused while the file holds another change that is not in force: %s', async (_, named, edit) => {
  await expect(change(edit)).rejects.toMatchObject({ code: 'ADMIN_REFUSED', message: expect.stringContaining(named) })
})

test('what only looks different, and the phase itself, are no other change', async () => {
  const { next } = await change((text) =>
    text.replace('# kept', '# other words').replace('phase: shadow', 'phase: switched'),
  )
  expect(next.routes[0]!.phase).toBe('mirror')
})

test('what is saved in the file while the change waits stays', async () => {
  const { save } = await change()
  writeFileSync(file, TEXT.replace('# kept', '# other words').replace('100', '200'))
  await save()
  expect(readFileSync(file, 'utf8')).toBe(
    TEXT.replace('# kept', '# other words').replace('100', '200').replace('phase: shadow', 'phase: mirror'),
  )
})

test.each<[string, () => void]>([
  ['is gone', () => rmSync(file)],
  ['is no YAML any more', () => writeFileSync(file, 'routes: [')],
  ['does not name the route any more', () => writeFileSync(file, TEXT.replace('name: jobs', 'name: others'))],
])('says that the phase is in force and not in the file, when that %s by then', async (_, meanwhile) => {
  const { save } = await change()
  meanwhile()
  await expect(save()).rejects.toMatchObject({
    code: 'ADMIN_REFUSED',
    message: expect.stringMatching(/^the phase is in force, but .* write `phase: mirror` for route 'jobs'/),
  })
})

test.each<[string, () => void, RegExp]>([
  ['is missing', () => rmSync(file), /cannot be read: it does not exist/],
  [
    'is a folder',
    () => {
      rmSync(file)
      mkdirSync(file)
    },
    /cannot be read/,
  ],
  ['is not UTF-8', () => writeFileSync(file, Buffer.from(TEXT.replace('# kept', '# caf\xe9'), 'latin1')), /not UTF-8/],
])('says so when the file %s', async (_, meanwhile, message) => {
  const { config } = loadConfig(file, {})
  meanwhile()
  await expect(phaseChange(config, file, {}, ['jobs'], 'mirror')).rejects.toMatchObject({
    code: 'CONFIG_UNREADABLE',
    message: expect.stringMatching(message),
  })
})

test('the file keeps its mode, whatever the umask', async () => {
  chmodSync(file, 0o664)
  const umask = process.umask(0o077)
  try {
    const { save } = await change()
    await save()
  } finally {
    process.umask(umask)
  }
  expect(statSync(file).mode & 0o7777).toBe(0o664)
})
