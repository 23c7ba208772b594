import type { Session } from '../session/session.ts'

export function secondsSince({ path }: Session, sinceMs: number): number {
  return Math.max(0, Math.floor((path.clock.nowMs - sinceMs) / 1000))
}

/** As Redis puts them together; `N` for none. */
export function flagsOf(client: Session): string {
  let flags = ''
  for (let pin = client.pin; pin !== null; pin = pin.outer) if (pin.flag !== 'N') flags = pin.flag + flags
  flags += client.own?.flags ?? ''
  if (client.unixPath !== null) flags += 'U'
  if (client.readOnly) flags += 'r'
  if (client.noEvict) flags += 'e'
  if (client.noTouch) flags += 'T'
  if (client.importSource) flags += 'I'
  return flags === '' ? 'N' : flags
}
