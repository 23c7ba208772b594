import { z } from 'zod'
import { UnderstudyError } from '../base/errors.ts'
import { PHASES } from '../config/config.ts'
import { RESOLUTIONS } from '../state/history-store.ts'
import type { Endpoint } from './endpoint.ts'
import { JOB_ENDPOINTS } from './job-endpoints.ts'
import { MISMATCH_ENDPOINTS } from './mismatch-endpoints.ts'

const PHASE_BODY = z.strictObject({
  phase: z.enum(PHASES).describe('the phase that the route is to have'),
  dryRun: z.boolean().exactOptional().describe('say what would happen, change nothing'),
  force: z.boolean().exactOptional().describe('switch although gates are closed; needs `reason`'),
  reason: z.string().trim().min(1).max(500).exactOptional().describe('why; written to the log'),
})

const PHASES_BODY = PHASE_BODY.extend({
  routes: z.array(z.string()).min(1).describe('the names of the routes'),
})

const RELOAD_BODY = z.strictObject({
  force: z.boolean().exactOptional().describe('reload although gates are closed; needs `reason`'),
  reason: z.string().trim().min(1).max(500).exactOptional().describe('why; written to the log'),
})

function mustGiveReason({ force, reason }: { readonly force?: boolean; readonly reason?: string }): void {
  if (force === true && reason === undefined) throw new UnderstudyError('USAGE', 'body: force needs a reason')
}

const SESSION_BODY = z.strictObject({
  token: z.string().min(1).max(1000).describe('the value of `admin.token`'),
})

const HISTORY_QUERY = z.strictObject({
  route: z.string().min(1).exactOptional().describe('of this route; without it: of all together'),
  range: z
    .enum(RESOLUTIONS.map(({ range }) => range))
    .default('10m')
    .describe('10 minutes in steps of 2 s, 3 hours in steps of 30 s, or 24 hours in steps of 5 min'),
  since: z.coerce
    .number()
    .int()
    .min(0)
    .exactOptional()
    .describe('only what is newer than this: ms since 1970, or what `range` reaches back to'),
})

/** The whole HTTP API. The server serves this table, and `docs/reference/http.md` is made from it. */
export const ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'GET',
    path: '/healthz',
    open: true,
    summary: 'The process lives.',
    gives: '`{"status": "ok"}`',
    handle: async () => ({ kind: 'json', body: { status: 'ok' } }),
  },
  {
    method: 'GET',
    path: '/readyz',
    open: true,
    summary:
      'The primary of every route answers, and serves commands without a further login (`NOAUTH`), unless `clients.auth` is `passthrough`; status 503 and the reasons when one does not. One that hangs does not answer: it has said nothing to the health probe, which asks each second, for its `timeout` (5 s where that is 0), nor to anybody else meanwhile. Of a cluster one master is enough: `degraded` names those that do not answer.',
    gives: '`{"ready": true, "reasons": [], "degraded": []}`',
    handle: async (control) => {
      const readiness = await control.ready()
      return { kind: 'json', status: readiness.ready ? 200 : 503, body: readiness }
    },
  },
  {
    method: 'GET',
    path: '/metrics',
    summary: 'Metrics in the Prometheus text format; see [metrics](metrics.md).',
    gives: 'text',
    handle: async (control) => ({ kind: 'text', ...(await control.metrics()) }),
  },
  {
    method: 'GET',
    path: '/',
    open: true,
    summary: 'The dashboard. The page itself holds nothing: what it shows comes from the endpoints below.',
    gives: 'HTML',
    handle: async () => ({ kind: 'page', name: 'index.html' }),
  },
  {
    method: 'GET',
    path: '/assets/*',
    open: true,
    summary: "The dashboard's scripts and styles.",
    gives: 'the file',
    handle: async (_control, { params }) => ({ kind: 'page', name: params['*'] ?? '' }),
  },
  {
    method: 'POST',
    path: '/api/v1/session',
    open: true,
    summary:
      'Logs a browser in: the token for a cookie that scripts cannot read and that no other site can send. With it, a request that changes something needs the header `x-understudy-page: 1`.',
    gives: '`{"loggedIn": true}`',
    body: SESSION_BODY,
    handle: async (_control, { body }) => ({
      kind: 'session',
      token: (body as z.infer<typeof SESSION_BODY>).token,
    }),
  },
  {
    method: 'DELETE',
    path: '/api/v1/session',
    open: true,
    summary: 'Logs a browser out: its cookie is removed.',
    gives: '`{"loggedIn": false}`',
    handle: async () => ({ kind: 'session', token: null }),
  },
  {
    method: 'GET',
    path: '/api/v1/status',
    summary: 'Stores, routes, phases, lag, backlog, dirty keys and comparison counts.',
    gives:
      '`{version, configHash, epoch, uptimeSeconds, lastReload: {successful, at, error}, needsRestart: [part], application: {served, reasons: [text]}, stores: {NAME: {up, latencyMs, version, valkeyVersion, role, error, clockOffsetMs, sentinel: {name, primary, sentinels, answering, failovers, lastFailoverAt, error} or null, ' +
      'cluster: {nodes: [{address, role, slots, up, latencyMs, version, valkeyVersion, error}], slotsCovered, error} or null}}, ' +
      'routes: {NAME: {phase, primary, shadow, crossSlots: [{command, count, lastAgoMs}], problems: [{level, text, verify}], mirror: {lagMs, backlog, backlogBytes, mirrored, dropped, dirtyKeys, hotKeys, dirtyReasons: {REASON: count}, oldestDirtyMs, needsVerify, verifyCauses: [cause], refusedLibraries: [name], refusedBecause, scriptsInDoubt: [SHA-1 or "function NAME" or "unread function NAME"], scriptsAstray: "names" or "primaries" or null, unsettledVerify: {job, keys, extra, turned} or null, incompleteEnd: "source" or "target" or null, strandedDatabases: [number], strandedBecause, repair, refusedCopy}, ' +
      'compare: {compared, matched, mismatched, transient, skipped, acknowledged, ignored, repaired, rates: {"1m": {compared, mismatched, rate}, "10m", "1h"}, ' +
      'latencyMs: {primary: {count, mean, p50, p95, p99} or null, shadow}}}}, clients: {connected}, durability: {intact, intentLogBytes}}`',
    handle: async (control) => ({ kind: 'json', body: await control.status() }),
  },
  {
    method: 'GET',
    path: '/api/v1/routes',
    summary: 'The routes as configured, each with the phase in force.',
    gives: '`[{name, phase, keys, source: {store, keys}, target: {store, keys} or null}]`',
    handle: async (control) => ({ kind: 'json', body: await control.routes() }),
  },
  {
    method: 'GET',
    path: '/api/v1/config',
    summary: 'The configuration in force; every secret is shown as `***`.',
    gives: 'the configuration, with every default filled in',
    handle: async (control) => ({ kind: 'json', body: control.redactedConfig() }),
  },
  {
    method: 'GET',
    path: '/api/v1/config/changes',
    summary: 'What a reload of the configuration file would do, with every gate on the way; nothing is changed.',
    gives: 'as `POST /api/v1/config/reload`',
    handle: async (control) => ({ kind: 'json', body: await control.reload({ dryRun: true }) }),
  },
  {
    method: 'POST',
    path: '/api/v1/config/reload',
    summary:
      'Reads the configuration file again, all or nothing, and answers when it is in force. A file that moves keys to another primary meets the gates of a switch. The body may be left out.',
    gives:
      '`{configHash, epoch, changed, dryRun, pauseMs, moves: [text], closedGates: [text], gates: [{route, open, reason}], needsRestart: [part]}`',
    body: RELOAD_BODY,
    handle: async (control, { body }) => {
      const request = body as z.infer<typeof RELOAD_BODY>
      mustGiveReason(request)
      return { kind: 'json', body: await control.reload(request) }
    },
  },
  {
    method: 'PUT',
    path: '/api/v1/routes/:name/phase',
    summary: "Edits the route's `phase` in the configuration file (comments are kept) and answers when it is in force.",
    gives: '`{route, from, to, dryRun, pauseMs, consequences, closedGates: [text], gates: [{route, open, reason}]}`',
    body: PHASE_BODY,
    handle: async (control, { params, body }) => {
      const request = body as z.infer<typeof PHASE_BODY>
      mustGiveReason(request)
      return { kind: 'json', body: await control.setPhase(params['name'] ?? '', request) }
    },
  },
  {
    method: 'PUT',
    path: '/api/v1/phase',
    summary: 'The same for several routes at the same moment, with one pause: all of them, or none.',
    gives:
      '`{routes: [{route, from, to, consequences}], dryRun, pauseMs, closedGates: [text], gates: [{route, open, reason}]}`',
    body: PHASES_BODY,
    handle: async (control, { body }) => {
      const { routes, ...request } = body as z.infer<typeof PHASES_BODY>
      mustGiveReason(request)
      return { kind: 'json', body: await control.setPhases(routes, request) }
    },
  },
  ...JOB_ENDPOINTS,
  ...MISMATCH_ENDPOINTS,
  {
    method: 'GET',
    path: '/api/v1/history',
    summary: 'The main series of the last 24 hours, also of before a restart, and the switches, the newest first.',
    gives:
      '`{route, range, stepSeconds, at: [seconds since 1970], series: {NAME: [number or null]}, switches: [{at, route, from, to, pauseMs}]}`; ' +
      'the series are `primaryRequests`, `shadowRequests`, `mirrored`, `compared`, `errors`, `timeouts` and `fallbacks` per second, `mismatchRate` (0 to 1), ' +
      '`primaryP50Ms`, `primaryP99Ms`, `shadowP50Ms`, `shadowP99Ms`, and the highest `lagMs`, `backlog` and `dirtyKeys` of each step',
    query: HISTORY_QUERY,
    handle: async (control, { query }) => ({
      kind: 'json',
      body: await control.history(query as z.infer<typeof HISTORY_QUERY>),
    }),
  },
  {
    method: 'GET',
    path: '/api/v1/events',
    summary:
      'Server-sent events: `status` at once and every second, `sample` (the newest point of the history) every two, `mismatch`, `phase`, `job` and `reload` as they happen (`job`: at every change of its state, and while it runs), and `dropped` (`{count}`) to a listener that reads too slowly.',
    gives:
      '`text/event-stream`; the data of `status`, `mismatch`, `phase` and `job` is what their endpoints give, that of `reload` is `{successful, error}`, of `sample` `{at, stepSeconds, routes: {NAME: {SERIES: number or null}}}`',
    handle: async () => ({ kind: 'events' }),
  },
]
