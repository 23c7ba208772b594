/** Nothing for this long, though the status comes every second: the connection is dead, whatever the browser believes. */
const SILENCE_MS = 8_000

/**
 * Listens to `/api/v1/events` for ever. The browser reconnects by itself after a break; after a refusal (a restart behind a proxy, a login that has
 * ended) it does not, and a connection that died silently it does not notice: both are met here.
 *
 * @param {{ on: Record<string, (data: any) => void>, onState: (state: 'live' | 'lost') => void, beforeReconnect: () => Promise<boolean> }} options
 *   `beforeReconnect` resolves with false when it is of no use (a login is needed); `listen` is to be called again then
 */
export function listen({ on, onState, beforeReconnect }) {
  let waitMs = 1000
  /** @type {EventSource | null} */
  let source = null
  let heardAt = performance.now()

  const open = () => {
    heardAt = performance.now()
    source = new EventSource('/api/v1/events')
    source.onopen = () => {
      waitMs = 1000
    }
    source.onerror = () => {
      onState('lost')
      if (source?.readyState === EventSource.CLOSED) void again()
    }
    for (const [name, use] of Object.entries(on)) {
      source.addEventListener(name, (event) => {
        heardAt = performance.now()
        onState('live')
        use(JSON.parse(event.data))
      })
    }
  }
  const again = async () => {
    source?.close()
    source = null
    await new Promise((resolve) => setTimeout(resolve, waitMs))
    waitMs = Math.min(waitMs * 2, 15_000)
    if (await beforeReconnect()) open()
    else clearInterval(watch)
  }
  const watch = setInterval(() => {
    if (source === null || performance.now() - heardAt < SILENCE_MS) return
    onState('lost')
    void again()
  }, 2_000)
  open()
}
