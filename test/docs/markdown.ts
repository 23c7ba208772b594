import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A page of the documentation; `path` is relative to the checkout. */
export interface Page {
  readonly path: string
  readonly text: string
}

/** Every page that people read: those beside package.json, and those under docs/, benchmark/ and deploy/. */
export function pages(): Page[] {
  const folder = (name: string): string[] =>
    readdirSync(join(ROOT, name), { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
      .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
  const top = readdirSync(ROOT).filter((name) => name.endsWith('.md'))
  return [...top, ...folder('docs'), ...folder('benchmark'), ...folder('deploy')]
    .sort()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
}

/** Targets of `[text](target)` outside of code. */
export function linksIn({ text }: Page): string[] {
  return [...withoutCode(text).matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)].map((match) => match[1]!)
}

/** The fragments that a page's headings can be linked by, as GitHub makes them. */
export function anchorsIn({ text }: Page): string[] {
  return [...withoutFences(text).matchAll(/^#+ (.+)$/gm)].map((match) =>
    match[1]!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** What stands between backquotes, and the lines of fenced blocks. */
export function codeIn({ text }: Page): string[] {
  const fenced = [...text.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].flatMap((match) => match[1]!.split('\n'))
  const spans = [...withoutFences(text).matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!)
  return [...fenced, ...spans]
}

function withoutFences(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```/gm, '')
}

function withoutCode(text: string): string {
  return withoutFences(text).replaceAll(/`[^`\n]*`/g, '')
}
