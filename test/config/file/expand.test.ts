// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the references that this file expands look like template strings

import { describe, expect, it } from 'vitest'
import { expandVariables } from '../../../src/config/file/expand.ts'

const env = { HOST: 'cache', EMPTY: '', TRICKY: '$${HOST}$&' }

describe('variables in the configuration', () => {
  it.each([
    ['redis://${HOST}:6379', 'redis://cache:6379'],
    ['${HOST}${HOST}', 'cachecache'],
    ['${NONE:-other}', 'other'],
    ['${EMPTY:-other}', 'other'],
    ['${NONE:-}', ''],
    ['[${EMPTY}]', '[]'],
    ['$${HOST}', '${HOST}'],
    ['$HOST $.path 5$', '$HOST $.path 5$'],
    ['${TRICKY}', '$${HOST}$&'],
  ])('%s becomes %s', (text, expected) => {
    expect(expandVariables(text, env)).toMatchObject({ text: expected, problems: [] })
  })

  it.each([
    ['a ${NONE} b', 2, 'NONE is not set'],
    ['${HOST', 0, 'not closed'],
    ['${1X}', 0, 'only ${VAR} and ${VAR:-default}'],
    ['${HOST:?}', 0, 'only ${VAR} and ${VAR:-default}'],
    ['${A:-${HOST}}', 0, 'not nested'],
  ])('%s is refused', (text, index, message) => {
    const { problems } = expandVariables(text, env)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatchObject({ index })
    expect(problems[0]!.message).toContain(message)
  })

  it('finds every problem of a text', () => {
    expect(expandVariables('${A}${B}', env).problems.map(({ index }) => index)).toEqual([0, 4])
  })

  it('tells values of the environment from defaults', () => {
    expect(expandVariables('${HOST}', env).fromEnvironment).toBe(true)
    expect(expandVariables('${NONE:-x}', env).fromEnvironment).toBe(false)
  })
})
