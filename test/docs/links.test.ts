import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'
import { buildProgram } from '../../src/cli/program.ts'
import { Terminal } from '../../src/cli/terminal.ts'
import { anchorsIn, codeIn, linksIn, type Page, pages, ROOT } from './markdown.ts'

const all = pages()
const page = (path: string): Page => {
  const found = all.find((one) => one.path === path)
  if (found === undefined) throw new Error(`there is no ${path}`)
  return found
}

describe.each(all.map((one) => [one.path, one] as const))('%s', (path, one) => {
  test('links only to what exists', () => {
    const broken = linksIn(one).filter((link) => {
      if (/^[a-z]+:/.test(link)) return false
      const [file, anchor] = link.split('#', 2) as [string, string?]
      const target = file === '' ? path : normalize(join(dirname(path), file)).replace(/\/$/, '')
      if (!existsSync(join(ROOT, target))) return true
      return anchor !== undefined && !anchorsIn(page(target)).includes(anchor)
    })
    expect(broken).toEqual([])
  })

  test('names only files that exist, or that are made here and not kept', () => {
    const made = readFileSync(join(ROOT, '.gitignore'), 'utf8').split('\n')
    const named = codeIn(one).flatMap((code) =>
      [...code.matchAll(/(?<![\w/.-])(?:src|test|config|docs|scripts|bin|deploy|benchmark|\.ci)\/[\w./-]*[\w/]/g)].map(
        ([name]) => name,
      ),
    )
    expect(named.filter((name) => !existsSync(join(ROOT, name)) && !made.includes(name))).toEqual([])
  })

  test('names only npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object }
    const named = codeIn(one).flatMap((code) =>
      [...code.matchAll(/\bnpm (?:run )?([\w:-]+)/g)].map((match) => match[1]!),
    )
    const ofNpmItself = ['ci', 'install']
    expect(named.filter((name) => !(name in scripts) && !ofNpmItself.includes(name))).toEqual([])
  })
})

describe('the command line as the README shows it', () => {
  const program = buildProgram(new Terminal(process.stdout, process.stderr), () => {})
  const options = new Map(program.commands.map((command) => [command.name(), command.options.map(({ long }) => long)]))
  const lines = codeIn(page('README.md'))

  test('every subcommand exists and has the options that are shown with it', () => {
    const used = lines.flatMap((line) => {
      const match = /(?:understudy|npm start --) ?(.*?)(?: -- .*)?(?: {2,}#.*)?$/.exec(line)
      if (match === null || !/^(?:npx )?understudy |^npm start -- /.test(line)) return []
      const words = match[1]!.split(' ')
      const name = line.startsWith('npm start') ? 'serve' : words[0]!
      return [{ line, name, flags: words.filter((word) => word.startsWith('--')) }]
    })
    expect(used.length).toBeGreaterThan(10)
    const wrong = used.filter(({ name, flags }) => !flags.every((flag) => options.get(name)?.includes(flag)))
    expect(wrong).toEqual([])
  })

  test('every option named anywhere in it belongs to some subcommand', () => {
    const known = new Set([...options.values()].flat())
    const ofRedis = /redis-server|redis-cli/
    const named = lines.filter((line) => !ofRedis.test(line)).flatMap((line) => line.match(/(?<!\S)--\w[\w-]*/g) ?? [])
    expect(named.filter((flag) => !known.has(flag))).toEqual([])
  })
})

test('every decision is listed in docs/README.md, each with a number of its own', () => {
  const decisions = all.map(({ path }) => path).filter((path) => path.startsWith('docs/decisions/'))
  const numbers = decisions.map((path) => Number(/(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1]))
  expect(new Set(numbers).size).toBe(numbers.length)
  expect(numbers).not.toContain(Number.NaN)
  expect(decisions.length).toBeGreaterThan(0)
  const listed = linksIn(page('docs/README.md')).map((link) => normalize(join('docs', link)))
  expect(decisions.filter((path) => !listed.includes(path))).toEqual([])
})
