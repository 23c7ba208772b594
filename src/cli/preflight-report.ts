import { versionText } from '../base/server-version.ts'
import type { Preflight } from '../preflight/preflight.ts'
import type { ServerLook } from '../preflight/server-look.ts'
import type { StoreLook } from '../preflight/store-look.ts'
import { formatBytes, formatMs } from './format.ts'
import { tableLines } from './table.ts'
import { printable, type Terminal } from './terminal.ts'

/** A line for each server, then what was found: errors first. */
export function preflightLines({ stores, findings }: Preflight, terminal: Terminal): string[] {
  const said = (['error', 'warning'] as const).flatMap((level) =>
    findings
      .filter((finding) => finding.level === level)
      .map(
        ({ message }) => `${terminal.style(level === 'error' ? 'red' : 'yellow', `${level}:`)} ${printable(message)}`,
      ),
  )
  return [...storeLines(Object.values(stores), terminal), ...(said.length === 0 ? [] : ['']), ...said]
}

/** The same as data: for each store what each of its servers says. `found`: null: nobody was asked. */
export function preflightData(found: Preflight | null): object {
  const stores = Object.values(found?.stores ?? {}).map(({ name, kind, error, servers }) => [
    name,
    { kind, error, servers: servers.map(serverData) },
  ])
  return { stores: Object.fromEntries(stores), findings: found?.findings ?? [] }
}

function storeLines(looks: readonly StoreLook[], terminal: Terminal): string[] {
  const columns = [
    { title: 'store' },
    { title: 'server' },
    { title: 'state' },
    { title: 'latency', right: true },
    { title: 'version' },
    { title: 'role' },
    { title: 'keys', right: true },
    { title: 'memory' },
  ]
  return tableLines(
    columns,
    looks.flatMap((look) => {
      const name = printable(look.name)
      if (look.kind === 'managed') return [[name, 'started by serve', '-', '-', '-', '-', '-', '-']]
      if (look.servers.length === 0) return [[name, '-', terminal.style('red', 'down'), '-', '-', '-', '-', '-']]
      return look.servers.map((server) => serverRow(name, server, terminal))
    }),
  )
}

function serverRow(name: string, server: ServerLook, terminal: Terminal): string[] {
  const { address, up, latencyMs, role, keys } = server
  return [
    name,
    printable(address),
    up ? terminal.style('green', 'up') : terminal.style('red', 'down'),
    latencyMs === null ? '-' : formatMs(latencyMs),
    printable(versionText(server) ?? '-'),
    printable(role ?? '-'),
    keys === null ? '-' : String(totalOf(keys)),
    memoryText(server),
  ]
}

function memoryText({ memory }: ServerLook): string {
  if (memory === null) return '-'
  const used = formatBytes(memory.usedBytes)
  return memory.limitBytes === 0
    ? `${used}, no limit`
    : `${used} of ${formatBytes(memory.limitBytes)}, ${printable(memory.policy)}`
}

function serverData({ denied, ...server }: ServerLook): object {
  const { address, up, error, latencyMs, version, valkeyVersion, role, keys, memory } = server
  const names = denied.map(({ command }) => command)
  return { address, up, error, latencyMs, version, valkeyVersion, role, keys, memory, denied: names }
}

function totalOf(keys: Readonly<Record<number, number>>): number {
  return Object.values(keys).reduce((total, count) => total + count, 0)
}
