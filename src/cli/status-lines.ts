import { problemsOf } from '../admin/route-problems.ts'
import type { RouteStatus, Status, StoreStatus } from '../admin/status.ts'
import { versionText } from '../base/server-version.ts'
import type { Job } from '../jobs/runner/job.ts'
import { formatBytes, formatMs, formatSeconds, formatShare } from './format.ts'
import { tableLines } from './table.ts'
import { printable, type Terminal } from './terminal.ts'

/** Clocks that differ move expiries by as much. */
const CLOCK_OFFSET_MS = 1_000

/** What a person is to see: stores, routes, and whatever is not equal or not known to be. `jobs`: the newest first. */
export function statusLines(status: Status, terminal: Terminal, jobs: readonly Job[] = []): string[] {
  const { version, epoch, configHash, uptimeSeconds, clients, application, lastReload, needsRestart } = status
  const suffers = application.reasons.map((reason) =>
    terminal.style('red', printable(`The application suffers: ${reason}`)),
  )
  const reload = lastReload.successful
    ? []
    : [
        terminal.style(
          'red',
          `The last reload failed; the configuration before it is in force: ${linesOf(lastReload.error ?? '')}`,
        ),
      ]
  const restart =
    needsRestart.length === 0
      ? []
      : [terminal.style('yellow', `Changed in the file, applies after a restart: ${needsRestart.join(', ')}`)]
  return [
    `Understudy ${version}, up ${formatSeconds(uptimeSeconds)}, ${clients.connected} client${clients.connected === 1 ? '' : 's'}, configuration ${configHash.slice(0, 12)} (epoch ${epoch})`,
    ...suffers,
    ...reload,
    ...restart,
    '',
    ...tableLines(
      [
        { title: 'store' },
        { title: 'state' },
        { title: 'latency', right: true },
        { title: 'version' },
        { title: 'role' },
        { title: '' },
      ],
      Object.entries(status.stores).map(([name, store]) => storeRow(name, store, terminal)),
    ),
    ...sentinelLines(status),
    ...clusterLines(status),
    ...clockLines(status, terminal),
    '',
    ...tableLines(
      [
        { title: 'route' },
        { title: 'phase' },
        { title: 'primary' },
        { title: 'shadow' },
        { title: 'lag', right: true },
        { title: 'backlog', right: true },
        { title: 'dirty', right: true },
        { title: 'mirrored', right: true },
        { title: 'compared', right: true },
        { title: 'mismatches', right: true },
        { title: 'rate', right: true },
      ],
      Object.entries(status.routes).map(([name, route]) => routeRow(name, route, terminal)),
    ),
    ...doubts(status, terminal),
    ...failedJobs(jobs, terminal),
  ]
}

/** Where the primaries of stores behind Sentinels are. */
function sentinelLines({ stores }: Status): string[] {
  const lines = Object.entries(stores).flatMap(([name, { sentinel }]) => {
    if (sentinel === null) return []
    const { primary, sentinels, answering, failovers, lastFailoverAt } = sentinel
    const where = `${printable(name)}: '${printable(sentinel.name)}' of its Sentinels is at ${printable(primary ?? 'an unknown address')}`
    const moved =
      lastFailoverAt === null
        ? ''
        : `; failed over ${failovers === 1 ? 'once' : `${failovers} times`}, last at ${printable(lastFailoverAt)}`
    return [`${where}; ${answering} of ${sentinels} Sentinels answer${moved}`]
  })
  return lines.length === 0 ? [] : ['', ...lines]
}

/** The nodes of stores that are clusters: those that do not answer by name. */
function clusterLines({ stores }: Status): string[] {
  const lines = Object.entries(stores).flatMap(([name, { cluster }]) => {
    if (cluster === null) return []
    const { nodes } = cluster
    const masters = nodes.filter(({ role }) => role === 'master')
    const served = masters.reduce((sum, { up, slots }) => sum + (up ? slots : 0), 0)
    const replicas = nodes.length - masters.length
    const versions = [...new Set(nodes.flatMap((node) => versionText(node) ?? []))].sort()
    const of = `${masters.length} masters, ${replicas} replicas${versions.length > 1 ? `, versions ${versions.join(' and ')}` : ''}`
    const down = nodes.filter(({ up }) => !up)
    return [
      `${printable(name)}: ${printable(of)}; ${served} of 16384 slots are served`,
      ...down.map(({ address, role, error }) =>
        printable(`  ${role} ${address} does not answer${error === null ? '' : `: ${error}`}`),
      ),
    ]
  })
  return lines.length === 0 ? [] : ['', ...lines]
}

function clockLines({ stores }: Status, terminal: Terminal): string[] {
  const lines = Object.entries(stores).flatMap(([name, { clockOffsetMs }]) => {
    const offMs = Math.abs(clockOffsetMs ?? 0)
    const text = `The clock of store ${printable(name)} is off by ${formatMs(offMs)}: keys expire at another time there`
    return offMs > CLOCK_OFFSET_MS ? [terminal.style('yellow', text)] : []
  })
  return lines.length === 0 ? [] : ['', ...lines]
}

/** One that failed and was done again is over. */
function failedJobs(jobs: readonly Job[], terminal: Terminal): string[] {
  const newest = new Map(jobs.toReversed().map((job) => [`${job.kind} ${job.route}`, job]))
  const lines = [...newest.values()].flatMap(({ id, kind, route, state, error }) =>
    state === 'failed'
      ? [terminal.style('red', printable(`The ${kind} of ${route} (job ${id}) failed${error ? `: ${error}` : ''}`))]
      : [],
  )
  return lines.length === 0 ? [] : ['', ...lines]
}

const REPAIR_WORDS: Readonly<Record<RouteStatus['mirror']['repair'], string>> = {
  idle: 'waiting',
  copying: 'being copied',
  paused: 'copying waits for a store that is down',
  resting: 'they wait for a verify without a difference',
  tripped: 'copies keep failing',
}

/** What is not equal, or not known to be. */
function doubts(status: Status, terminal: Terminal): string[] {
  const lines: string[] = []
  for (const [name, route] of Object.entries(status.routes)) {
    const { dirtyKeys, hotKeys, dirtyReasons, oldestDirtyMs, strandedDatabases, repair, refusedCopy } = route.mirror
    if (dirtyKeys > 0) {
      const reasons = Object.entries(dirtyReasons).map(([reason, count]) => `${count} ${reason}`)
      const age = formatSeconds(oldestDirtyMs / 1000)
      const copying =
        strandedDatabases.length > 0 ? 'not all can be copied' : (REPAIR_WORDS[repair] ?? printable(repair))
      const failed = refusedCopy === null ? '' : ` (the last copy failed: ${printable(refusedCopy)})`
      lines.push(
        `${printable(name)}: dirty keys: ${printable(reasons.join(', '))}${hotKeys > 0 ? `; ${hotKeys} written all the time and copied again and again` : ''}; the oldest for ${age}; ${copying}${failed}`,
      )
    }
    // Not what the sidecar says of them: an older one says nothing.
    for (const { level, text } of problemsOf(route, name))
      lines.push(terminal.style(level === 'bad' ? 'red' : 'yellow', printable(`${name}: ${text}`)))
  }
  if (!status.durability.intact)
    lines.push(
      terminal.style('red', 'The state directory cannot be written: after a crash now, mirrored routes need a verify'),
    )
  return lines.length === 0 ? [] : ['', ...lines]
}

function storeRow(name: string, store: StoreStatus, terminal: Terminal): string[] {
  const { up, latencyMs, role, error } = store
  return [
    printable(name),
    up ? terminal.style('green', 'up') : terminal.style('red', 'down'),
    // The last answer's, when it is down.
    !up || latencyMs === null ? '-' : formatMs(latencyMs),
    printable(versionText(store) ?? '-'),
    printable(role ?? '-'),
    printable(error ?? ''),
  ]
}

function routeRow(
  name: string,
  { phase, primary, shadow, mirror, compare }: RouteStatus,
  terminal: Terminal,
): string[] {
  const alarm = (count: number) => (count > 0 ? terminal.style('red', String(count)) : String(count))
  return [
    printable(name),
    phase,
    printable(primary),
    printable(shadow ?? '-'),
    formatMs(mirror.lagMs),
    mirror.backlogBytes === 0 ? String(mirror.backlog) : `${mirror.backlog} (${formatBytes(mirror.backlogBytes)})`,
    alarm(mirror.dirtyKeys),
    String(mirror.mirrored),
    String(compare.compared),
    alarm(compare.mismatched),
    formatShare(compare.mismatched, compare.compared),
  ]
}

/** The problems of a file stand one a line. */
function linesOf(text: string): string {
  return text.split('\n').map(printable).join('\n  ')
}
