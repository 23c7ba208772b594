import { z } from 'zod'
import { UnderstudyError } from '../base/errors.ts'
import {
  FILE_FORMATS,
  JOB_ACTIONS,
  JOB_KINDS,
  JOB_STATES,
  type JobKind,
  type JobOptions,
  ON_CONFLICT,
  OPTIONS_OF,
  REPAIR_SOURCES,
} from '../jobs/runner/job.ts'
import type { Endpoint } from './endpoint.ts'

const MAX_JOBS = 1000
const MAX_KEYS = 10_000

const JOB_OPTIONS = z.strictObject({
  rate: z.number().positive().exactOptional().describe('at most so many keys per second'),
  dryRun: z.boolean().exactOptional().describe('everything but the writing; the default of `cleanup` is true'),
  onConflict: z
    .enum(ON_CONFLICT)
    .exactOptional()
    .describe(
      '`backfill`: what becomes of a key whose other side holds something else (default `overwrite`); `import`, `restore`: of a key that is there (default `skip`)',
    ),
  sample: z.number().positive().max(1).exactOptional().describe('`verify`: share of the keys, by the hash of the key'),
  from: z
    .array(z.enum(REPAIR_SOURCES))
    .min(1)
    .exactOptional()
    .describe('`repair`: where the keys come from (default: all)'),
  deleteExtra: z.boolean().exactOptional().describe('`repair`: delete what only the shadow has'),
  backup: z
    .string()
    .min(1)
    .exactOptional()
    .describe(
      '`cleanup`: absolute path of a new file on the machine that Understudy runs on, written before anything is deleted',
    ),
  file: z
    .string()
    .min(1)
    .exactOptional()
    .describe('`restore`, `import`, `export`: absolute path on the machine that Understudy runs on'),
  format: z.enum(FILE_FORMATS).exactOptional().describe('`import`, `export`: of the file (default `jsonl`)'),
  namespace: z
    .string()
    .exactOptional()
    .describe('`import`, `export` with `leveldb`: what stands before the keys there, with a colon'),
})

const JOB_BODY = z.strictObject({
  kind: z.enum(JOB_KINDS).describe('what to do'),
  route: z.string().min(1).describe('the route whose keys it is about'),
  options: JOB_OPTIONS.default({}).describe(
    JOB_KINDS.map((kind) => `\`${kind}\`: ${OPTIONS_OF[kind].map((name) => `\`${name}\``).join(', ')}`).join('; '),
  ),
})

const JOB_ACTION = z.strictObject({
  action: z.enum(JOB_ACTIONS).describe('`pause`, `resume` (a paused or failed one, from where it stood) or `cancel`'),
})

const JOB_QUERY = z.strictObject({
  route: z.string().min(1).exactOptional().describe('only of this route'),
  state: z.enum(JOB_STATES).exactOptional().describe('only in this state'),
  limit: z.coerce.number().int().min(1).max(MAX_JOBS).default(100).describe('at most so many, the newest first'),
})

const KEY_QUERY = z.strictObject({
  after: z.coerce.number().int().min(0).default(0).describe('only those with a greater `seq`'),
  limit: z.coerce.number().int().min(1).max(MAX_KEYS).default(1000).describe('at most so many'),
})

const JOB_SHAPE =
  '{id, kind, route, state, createdAt, startedAt, finishedAt, options, progress: {done, total, rate, etaSeconds, copied, skipped, failed, compared, different, repaired, deleted}, ' +
  'throttle, error, report: {summary, clean, classes, notes, primary?} or null}'

/** Jobs: start, look at, steer. */
export const JOB_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'POST',
    path: '/api/v1/jobs',
    summary: 'Starts a job; the answer comes at once, and the job goes on without whoever asked for it.',
    gives: `\`${JOB_SHAPE}\``,
    body: JOB_BODY,
    handle: async (control, { body }) => {
      const { kind, route, options } = body as z.infer<typeof JOB_BODY>
      refuseForeignOptions(kind, options as JobOptions)
      return {
        kind: 'json',
        status: 201,
        body: await control.jobs.start({ kind, route, options: options as JobOptions }),
      }
    },
  },
  {
    method: 'GET',
    path: '/api/v1/jobs',
    summary: 'Jobs, the newest first; those that are over are kept for a while.',
    gives: 'a list of what `POST /api/v1/jobs` gives',
    query: JOB_QUERY,
    handle: async (control, { query }) => ({
      kind: 'json',
      body: await control.jobs.list(query as z.infer<typeof JOB_QUERY>),
    }),
  },
  {
    method: 'GET',
    path: '/api/v1/jobs/:id',
    summary: 'One job.',
    gives: 'what `POST /api/v1/jobs` gives',
    handle: async (control, { params }) => ({ kind: 'json', body: await control.jobs.get(idOf(params)) }),
  },
  {
    method: 'PATCH',
    path: '/api/v1/jobs/:id',
    summary: 'Pauses, resumes or cancels a job, and answers when it has stopped or goes on.',
    gives: 'what `POST /api/v1/jobs` gives',
    body: JOB_ACTION,
    handle: async (control, { params, body }) => ({
      kind: 'json',
      body: await control.jobs.steer(idOf(params), (body as z.infer<typeof JOB_ACTION>).action),
    }),
  },
  {
    method: 'GET',
    path: '/api/v1/jobs/:id/keys',
    summary: 'The keys that a job lists, because they failed or differ: names, classes and reasons, never values.',
    gives: '`[{seq, database, key, class, detail}]`',
    query: KEY_QUERY,
    handle: async (control, { params, query }) => ({
      kind: 'json',
      body: await control.jobs.keys(idOf(params), query as z.infer<typeof KEY_QUERY>),
    }),
  },
]

/** An option that does nothing would look as if it did: `dryRun` of a kind that has none, say. */
function refuseForeignOptions(kind: JobKind, options: JobOptions): void {
  const known: readonly string[] = OPTIONS_OF[kind]
  const foreign = Object.keys(options).filter((name) => !known.includes(name))
  if (foreign.length === 0) return
  const fields = foreign.map((name) => `body.options.${name}`).join(', ')
  throw new UnderstudyError('USAGE', `${fields}: ${kind} does not have this; its options are: ${known.join(', ')}`)
}

function idOf(params: Readonly<Record<string, string>>): number {
  const id = Number(params['id'])
  if (!Number.isSafeInteger(id) || id < 1) throw new UnderstudyError('NOT_FOUND', 'a job is named by its number')
  return id
}
