import { describe, expect, it } from 'vitest'
import { endpointIdentity, listenersConflict, reachesListener } from '../../src/config/endpoint.ts'
import { parseAdminUrl, parseListenUrl, parseStoreUrl } from '../../src/config/store-url.ts'

const tcp = (host: string, port: number) => ({ kind: 'tcp', host, port }) as const

describe('a store URL', () => {
  it.each([
    ['redis://cache', { kind: 'single', tls: false, endpoints: [tcp('cache', 6379)], database: null }],
    ['redis://[::1]:7000/3', { endpoints: [tcp('::1', 7000)], database: 3 }],
    ['rediss://app@cache.example:6379/0', { tls: true, username: 'app', password: null, database: 0 }],
    ['redis://:p%40ss@cache', { username: null, password: 'p@ss', url: 'redis://cache' }],
    ['redis://u:a/b@c@cache:1/2', { username: 'u', password: 'a/b@c', url: 'redis://cache:1/2' }],
    ['unix:///run/redis.sock', { kind: 'single', endpoints: [{ kind: 'unix', path: '/run/redis.sock' }] }],
    ['unix:///run/redis.sock?db=4', { database: 4 }],
    [
      'redis+sentinel://h1,h2:1/primary/2',
      { kind: 'sentinel', endpoints: [tcp('h1', 26379), tcp('h2', 1)], sentinelName: 'primary', database: 2 },
    ],
    [
      'rediss+sentinel://app:p%40ss@h1/primary',
      { kind: 'sentinel', tls: true, username: 'app', password: 'p@ss', url: 'rediss+sentinel://h1/primary' },
    ],
    ['rediss+cluster://app:p%40ss@h1', { kind: 'cluster', tls: true, password: 'p@ss', url: 'rediss+cluster://h1' }],
    ['redis+cluster://h1,[::2]:7001', { kind: 'cluster', endpoints: [tcp('h1', 6379), tcp('::2', 7001)] }],
    ['managed:', { kind: 'managed', endpoints: [], url: 'managed:' }],
  ])('%s', (text, expected) => expect(parseStoreUrl(text)).toMatchObject(expected))

  it.each([
    ['cache:6379', 'write it like redis://host:6379'],
    ['http://cache', '"http://" is not a URL understood here'],
    ['redi://cache', 'did you mean "redis"?'],
    ['managed://x', '"managed:" alone'],
    ['redis://', 'the host is missing'],
    ['redis://cache:0', 'the port is not between 1 and 65535'],
    ['redis://cache:99999', 'the port is not between 1 and 65535'],
    ['redis://cache/x', 'the database is not a number'],
    ['redis://cache/1/2', 'at most a database number'],
    ['redis://cache?tls=true', 'no "?" or "#"'],
    ['redis://a,b', 'takes one host'],
    ['redis+sentinel://a,b', 'the name of the primary is missing'],
    ['redis+cluster://a/1', 'a cluster has no databases'],
    ['unix://run/redis.sock', 'three slashes'],
    ['unix:///run/redis.sock?x=1', 'at most ?db=0'],
    [`unix:///run/${'x'.repeat(120)}.sock`, 'bytes; choose a shorter one'],
    ['redis://u:%zz@cache', '%25'],
  ])('%s is refused: %s', (text, why) => expect(() => parseStoreUrl(text)).toThrow(why))

  it.each(['redis://:hunter2', 'redis://user:hunter2', 'redis://u:hunter2%@h', 'redis://u:hunter2@h/x', 'hunter2:x@h'])(
    'the refusal of %s does not show the password',
    (text) => {
      expect(() => parseStoreUrl(text)).toThrow()
      expect(() => parseStoreUrl(text)).not.toThrow('hunter2')
    },
  )
})

describe('listener URLs', () => {
  it('have default ports, and 0 means any', () => {
    expect(parseListenUrl('redis://127.0.0.1').endpoint).toEqual(tcp('127.0.0.1', 6380))
    expect(parseListenUrl('redis://127.0.0.1:0').endpoint).toEqual(tcp('127.0.0.1', 0))
    expect(parseListenUrl('unix:///run/u.sock').endpoint).toEqual({ kind: 'unix', path: '/run/u.sock' })
    expect(parseAdminUrl('http://127.0.0.1/').endpoint).toEqual(tcp('127.0.0.1', 9380))
  })

  it.each(['redis://u@127.0.0.1', 'redis+cluster://a', 'redis://127.0.0.1/0', '127.0.0.1:6380'])(
    '%s is refused',
    (text) => {
      expect(() => parseListenUrl(text)).toThrow()
    },
  )
})

describe('endpoints', () => {
  it('are the same place under any name of the loopback interface', () => {
    expect(endpointIdentity(tcp('localhost', 1))).toBe(endpointIdentity(tcp('127.0.0.1', 1)))
    expect(endpointIdentity(tcp('Cache.Example', 1))).toBe(endpointIdentity(tcp('cache.example', 1)))
    expect(endpointIdentity(tcp('a', 1))).not.toBe(endpointIdentity(tcp('a', 2)))
  })

  it('conflict as listeners when they share a port of an address', () => {
    expect(listenersConflict(tcp('0.0.0.0', 1), tcp('127.0.0.1', 1))).toBe(true)
    expect(listenersConflict(tcp('10.0.0.1', 1), tcp('127.0.0.1', 1))).toBe(false)
    expect(listenersConflict(tcp('127.0.0.1', 0), tcp('127.0.0.1', 0))).toBe(false)
    expect(listenersConflict(tcp('127.0.0.1', 1), tcp('127.0.0.1', 1))).toBe(true)
    expect(listenersConflict(tcp('127.0.0.1', 1), tcp('localhost', 1))).toBe(true)
    expect(listenersConflict(tcp('::', 1), tcp('127.0.0.1', 1))).toBe(true)
  })

  it('do not conflict as listeners on two addresses of the loopback interface', () => {
    expect(listenersConflict(tcp('127.0.0.1', 1), tcp('::1', 1))).toBe(false)
    expect(listenersConflict(tcp('127.0.0.1', 1), tcp('127.0.0.2', 1))).toBe(false)
  })

  it('lead back to our own listener through any of its addresses', () => {
    expect(reachesListener(tcp('localhost', 6380), tcp('0.0.0.0', 6380))).toBe(true)
    expect(reachesListener(tcp('cache', 6380), tcp('127.0.0.1', 6380))).toBe(false)
  })
})
