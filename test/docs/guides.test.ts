import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../src/config/file/load.ts'
import { pages } from './markdown.ts'

/** Whole configurations; parts of one are shown too. */
const examples = pages()
  .filter(({ path }) => path.startsWith('docs/guides/'))
  .flatMap(({ path, text }) =>
    [...text.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, yaml = '']) => [path, yaml] as const),
  )
  .filter(([, yaml]) => yaml.includes('stores:'))

describe('configurations in the guides', () => {
  test('there are some', () => {
    expect(examples.length).toBeGreaterThan(3)
  })

  test.each(examples)('%s is valid', (path, yaml) => {
    // Secret files are mounted where it runs.
    const here = yaml.replaceAll(/\{ file: [^}]+\}/g, '{ env: PASSWORD }')
    expect(parseConfig(here, { path, env: { PASSWORD: 'x' } }).config.routes.length).toBeGreaterThan(0)
  })
})
