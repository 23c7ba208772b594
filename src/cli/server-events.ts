export interface ServerEvent {
  readonly event: string
  readonly data: unknown
}

/**
 * Reads the server-sent events that Understudy sends: `event:` and one `data:` line of JSON each, ended by an empty line; what else a
 * block may hold (`retry:`, comments) is passed over. A connection that breaks ends the events, as one that is closed does.
 *
 * @param onLife called for everything that arrives
 */
export async function* readEvents(body: ReadableStream<Uint8Array>, onLife: () => void): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder()
  let text = ''
  try {
    for await (const chunk of body) {
      onLife()
      text += decoder.decode(chunk, { stream: true })
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const event = parseBlock(block)
        if (event !== null) yield event
      }
    }
  } catch (error) {
    if (!isBrokenConnection(error)) throw error
  }
}

function parseBlock(block: string): ServerEvent | null {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ''))
  }
  const [event, data] = [fields.get('event'), fields.get('data')]
  return event === undefined || data === undefined ? null : { event, data: JSON.parse(data) }
}

/** fetch reports a connection that ends in the middle of a body as a TypeError ("terminated"), a cancelled one as an AbortError. */
function isBrokenConnection(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error instanceof TypeError)
}
