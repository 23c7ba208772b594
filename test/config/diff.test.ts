import { describe, expect, it } from 'vitest'
import type { Config } from '../../src/config/config.ts'
import { diffConfig } from '../../src/config/diff.ts'
import { parseConfig } from '../../src/config/load.ts'
import { redactConfig } from '../../src/config/redact.ts'

const TEXT = `
listen: [redis://127.0.0.1:7000]
admin: { url: "http://127.0.0.1:1", token: hunter2 }
stores:
  old: { url: "redis://app:hunter2@a" }
  new: { url: redis://b, password: hunter2 }
routes:
  - { name: rest, keys: ["*"], source: old, target: new, phase: shadow }
  - { name: jobs, keys: ["job:{x}"], source: old, target: new, phase: mirror }
`
const load = (text: string): Config => parseConfig(text, { path: 'test.yaml', env: {} }).config
const change = (from: string, to: string) => diffConfig(load(TEXT), load(TEXT.replace(from, to)))
const none = { added: [], removed: [], changed: [] }
const sameRoute = {
  phase: null,
  primary: false,
  shadow: false,
  keys: false,
  mirror: false,
  compare: false,
  readTimeout: false,
}

describe('the difference of two configurations', () => {
  it('is nothing for the same', () => {
    expect(diffConfig(load(TEXT), load(`# comment${TEXT}`))).toEqual({
      changed: false,
      listen: none,
      stores: none,
      routes: none,
      admin: false,
      stateDir: false,
      clients: false,
      cutover: false,
      log: false,
    })
  })

  it('says whether a phase moves the primary or the shadow', () => {
    expect(change('shadow', 'read-target').routes.changed).toEqual([
      { ...sameRoute, name: 'rest', phase: { from: 'shadow', to: 'read-target' } },
    ])
    expect(change('shadow', 'switched').routes.changed).toEqual([
      { ...sameRoute, name: 'rest', phase: { from: 'shadow', to: 'switched' }, primary: true, shadow: true },
    ])
    expect(change('shadow', 'passthrough').routes.changed).toEqual([
      { ...sameRoute, name: 'rest', phase: { from: 'shadow', to: 'passthrough' }, shadow: true },
    ])
  })

  it('says which part of a route changed', () => {
    expect(change('phase: mirror', 'phase: mirror, compare: { sample: 5% }').routes.changed).toEqual([
      { ...sameRoute, name: 'jobs', compare: true },
    ])
    expect(
      change('source: old, target: new, phase: mirror', 'source: new, target: old, phase: mirror').routes.changed,
    ).toEqual([{ ...sameRoute, name: 'jobs', primary: true, shadow: true }])
    expect(change('"job:{x}"', '"job:{y}"').routes.changed).toEqual([{ ...sameRoute, name: 'jobs', keys: true }])
  })

  it('names routes, stores and listeners that came, went or changed', () => {
    const diff = change('name: jobs', 'name: work')
    expect(diff).toMatchObject({ changed: true, routes: { added: ['work'], removed: ['jobs'], changed: [] } })
    expect(change('redis://b', 'redis://c').stores).toEqual({ ...none, changed: ['new'] })
    expect(change('127.0.0.1:7000', '127.0.0.1:7001').listen).toEqual({
      added: ['redis://127.0.0.1:7001'],
      removed: ['redis://127.0.0.1:7000'],
      changed: [],
    })
  })
})

describe('a configuration for people to read', () => {
  it('has no secret in it', () => {
    const config = load(TEXT)
    expect(JSON.stringify(config)).toContain('hunter2')
    const redacted = redactConfig(config)
    expect(JSON.stringify(redacted)).not.toContain('hunter2')
    expect(redacted.stores['old']).toMatchObject({ url: 'redis://a', username: 'app', password: '***' })
    expect(redacted.admin?.token).toBe('***')
  })

  it('shows where there is none', () => {
    const redacted = redactConfig(load(TEXT.replace(', token: hunter2', '').replace(', password: hunter2', '')))
    expect(redacted.admin?.token).toBeNull()
    expect(redacted.stores['new']?.password).toBeNull()
  })
})
