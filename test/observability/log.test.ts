import { describe, expect, test } from 'vitest'
import { UnderstudyError } from '../../src/base/errors.ts'
import { ProcessLog } from '../../src/observability/log.ts'
import { errorFields } from '../../src/observability/log-error.ts'
import type { LogFields } from '../../src/observability/log-fields.ts'

const SECRET = 'hunter2-is-not-a-password'

function recordingLog(format: 'json' | 'pretty' = 'json') {
  let text = ''
  const log = new ProcessLog({ level: 'info', format, destination: { write: (line) => (text += line) } })
  return {
    log,
    text: () => text,
    lines: () =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
  }
}

describe('the log', () => {
  test('writes one JSON line with level, time, message and fields', () => {
    const { log, text, lines } = recordingLog()
    log.info('phase in force', { route: 'jobs', from: 'mirror', to: 'shadow', pauseMs: 3 })
    expect(text().match(/\n/g)).toHaveLength(1)
    expect(lines()).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        route: 'jobs',
        from: 'mirror',
        to: 'shadow',
        pauseMs: 3,
        msg: 'phase in force',
      },
    ])
  })

  test('writes nothing below its level, and the level can be changed while it runs', () => {
    const { log, lines } = recordingLog()
    log.debug('unseen')
    log.level = 'debug'
    log.debug('seen')
    expect(lines().map((line) => line.msg)).toEqual(['seen'])
  })

  test('has no way for keys, values and buffers to get in: unknown fields and wrong types are left out', () => {
    const { log, text, lines } = recordingLog()
    const carried = {
      route: 'jobs',
      key: SECRET,
      value: Buffer.from(SECRET),
      args: [Buffer.from(SECRET)],
      password: SECRET,
      keys: [SECRET],
      store: { url: `redis://:${SECRET}@h` },
      command: Buffer.from(SECRET),
      err: new Error(SECRET),
    }
    log.info('write mirrored', carried as unknown as LogFields)
    expect(text()).not.toContain(SECRET)
    expect(text()).not.toContain(Buffer.from(SECRET).join(','))
    expect(lines()[0]).toMatchObject({ route: 'jobs', omitted: 8 })
  })

  test('masks the credentials of a URL wherever one appears', () => {
    const { log, text } = recordingLog()
    log.warn(`cannot reach redis://app:${SECRET}@cache:6379/0`, {
      url: `rediss://:${SECRET}@cache:6379`,
      error: `connect rediss://${SECRET}@a and redis://u:p/${SECRET}@b`,
    })
    expect(text()).toContain('redis://***@cache:6379/0')
    expect(text()).toContain('rediss://***@cache:6379')
    expect(text()).not.toContain(`:${SECRET}`)
  })

  test('masks the secrets it was told of inside any text, longer ones first', () => {
    const { log, text } = recordingLog()
    log.hide([SECRET.slice(0, 7), SECRET, 'ab'])
    log.error(`refused: ${SECRET}`, { error: `ab ${SECRET}!` })
    expect(text()).toContain('"refused: ***"')
    expect(text()).toContain('"ab ***!"')
  })

  test('keeps every line one line, and short', () => {
    const { log, text, lines } = recordingLog()
    log.error('bad\nnews\u001b[31m', { error: 'x'.repeat(10_000) })
    expect(text().match(/\n/g)).toHaveLength(1)
    expect(lines()[0].msg).toBe('bad news [31m')
    expect(lines()[0].error.length).toBeLessThan(600)
  })

  test('in pretty format a person reads time, level, message and fields', () => {
    const { log, text } = recordingLog('pretty')
    log.warn('store unreachable', { store: 'new', error: 'connect 127.0.0.1:1', retryInMs: 250 })
    expect(text()).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} WARN {2}store unreachable {2}store=new error="connect 127\.0\.0\.1:1" retryInMs=250\n$/,
    )
  })
})

describe('what a log line says of an error', () => {
  test('our own: code and message', () => {
    expect(errorFields(new UnderstudyError('NOT_FOUND', 'no route named x'))).toEqual({
      code: 'NOT_FOUND',
      error: 'no route named x',
    })
  })

  test('of the system: code, call and address', () => {
    const error = Object.assign(new Error('connect ECONNREFUSED'), {
      code: 'ECONNREFUSED',
      syscall: 'connect',
      address: '127.0.0.1',
      port: 1,
    })
    expect(errorFields(error)).toEqual({ code: 'ECONNREFUSED', error: 'connect 127.0.0.1:1' })
  })

  test("a store's error reply: its code only, since its text may quote what was sent", () => {
    const reply = Object.assign(new Error(`ERR unknown command 'x', with args beginning with: '${SECRET}'`), {
      name: 'ReplyError',
    })
    expect(errorFields(reply)).toEqual({ code: 'ERR', error: 'error reply of a store' })
  })

  test('any other: its name and where it was thrown, not its message', () => {
    const fields = errorFields(new TypeError(`cannot read ${SECRET}\n    at ${SECRET}`))
    expect(fields.error).toMatch(/^TypeError at .*log\.test\.ts/)
  })

  test('something that is no error at all', () => {
    expect(errorFields(SECRET)).toEqual({ error: 'string' })
  })
})
