import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'
import { buildProgram } from '../../src/cli/program.ts'
import { Terminal } from '../../src/cli/terminal.ts'
import { METRICS } from '../../src/observability/metrics-catalogue.ts'
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

describe('the command line as the pages show it', () => {
  const program = buildProgram(new Terminal(process.stdout, process.stderr), () => {})
  const options = new Map(program.commands.map((command) => [command.name(), command.options.map(({ long }) => long)]))
  const known = new Set([...options.values()].flat())

  test('every subcommand exists and has the options that are shown with it', () => {
    const used = all.flatMap(({ path, text }) =>
      // Decisions and changes tell of what was, too.
      path === 'CHANGELOG.md' || path.startsWith('docs/decisions/')
        ? []
        : codeIn({ path, text }).flatMap((line) => {
            const match = /^(?:npx understudy|understudy|npm start --) (.*?)(?: -- .*)?(?: {2,}#.*)?$/.exec(line)
            // `understudy backfill|verify ROUTE` is two commands; `understudy --admin URL` names none.
            const words = (match?.[1] ?? '-').split(' ')
            const names = line.startsWith('npm start') ? ['serve'] : words[0]!.split('|')
            const flags = words.map((word) => /^--\w[\w-]*/.exec(word)?.[0] ?? '').filter((flag) => flag !== '')
            return names.filter((name) => /^[a-z]/.test(name)).map((name) => ({ path, line, name, flags }))
          }),
    )
    expect(used.length).toBeGreaterThan(60)
    const isRight = (name: string, flags: string[]): boolean =>
      options.has(name) && flags.every((flag) => options.get(name)!.includes(flag))
    expect(used.filter(({ name, flags }) => !isRight(name, flags))).toEqual([])
  })

  test('every option named anywhere in the README and in the guides belongs to some subcommand', () => {
    const foreign = /^(?:npx )?node |redis-server|redis-cli|docker|podman|kubectl|openssl|npm (?!start)/
    const named = all
      .filter(({ path }) => path === 'README.md' || path === 'docs/runbook.md' || path.startsWith('docs/guides/'))
      .flatMap((one) => codeIn(one).map((line) => ({ path: one.path, line })))
      .filter(({ line }) => !foreign.test(line))
      .flatMap(({ path, line }) => (line.match(/(?<!\S)--\w[\w-]*/g) ?? []).map((flag) => ({ path, line, flag })))
    expect(named.length).toBeGreaterThan(20)
    // redis-cli's, named on their own.
    const others = ['--bigkeys', '--memkeys']
    expect(named.filter(({ flag }) => !known.has(flag) && !others.includes(flag))).toEqual([])
  })
})

test('every metric that the pages name exists', () => {
  const names = METRICS.flatMap(({ name, kind }) =>
    kind === 'histogram' ? [name, `${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  )
  const named = all
    .filter(({ path }) => path !== 'CHANGELOG.md' && !path.startsWith('docs/decisions/'))
    .flatMap((one) => codeIn(one).flatMap((line) => line.match(/\bunderstudy_[a-z_]+/g) ?? []))
  expect(named.length).toBeGreaterThan(30)
  expect(named.filter((name) => !names.includes(name))).toEqual([])
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
