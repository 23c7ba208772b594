import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'

interface Asset {
  readonly contentType: string
  readonly etag: string
  readonly body: Buffer
}

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Names under /assets/ of the libraries' files that the page loads. */
const FROM_LIBRARIES: Readonly<Record<string, URL>> = {
  'uplot.js': fileOf('uplot', './uPlot.iife.min.js'),
  'uplot.css': fileOf('uplot', './uPlot.min.css'),
  // Where Node finds lit-html is its build for servers; the one for browsers lies above it.
  'lit-html/lit-html.js': fileOf('lit-html', '../lit-html.js'),
  'lit-html/directive.js': fileOf('lit-html', '../directive.js'),
  'lit-html/directive-helpers.js': fileOf('lit-html', '../directive-helpers.js'),
  'lit-html/directives/live.js': fileOf('lit-html', '../directives/live.js'),
  'lit-html/directives/repeat.js': fileOf('lit-html', '../directives/repeat.js'),
}

/**
 * The dashboard's files, read once when the server starts: what is not in this list cannot be asked for, whatever the path. The browser gets them as they
 * lie in the source tree.
 */
export class Assets {
  readonly #assets = new Map<string, Asset>()
  /** The Content-Security-Policy: nothing from elsewhere, and of inline scripts only the page's own import map. */
  readonly policy: string

  constructor() {
    const page = new URL('../dashboard/page/', import.meta.url)
    for (const name of readdirSync(page)) this.#add(name, new URL(name, page))
    for (const [name, url] of Object.entries(FROM_LIBRARIES)) this.#add(name, url)
    const html = this.#assets.get('index.html')?.body.toString() ?? ''
    const importMap = /<script type="importmap">(.*?)<\/script>/s.exec(html)?.[1] ?? ''
    const digest = createHash('sha256').update(importMap).digest('base64')
    this.policy =
      `default-src 'none'; script-src 'self' 'sha256-${digest}'; style-src 'self'; img-src 'self'; connect-src 'self'; ` +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  }

  get(name: string): Asset | null {
    return this.#assets.get(name) ?? null
  }

  #add(name: string, url: URL): void {
    const contentType = CONTENT_TYPES[extname(name)]
    if (contentType === undefined) return
    const body = readFileSync(url)
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
    this.#assets.set(name, { contentType, etag, body })
  }
}

function fileOf(library: string, path: string): URL {
  return new URL(path, import.meta.resolve(library))
}
