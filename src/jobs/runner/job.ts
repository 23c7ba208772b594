/** A job as the outside sees it: plain JSON, as `/api/v1/jobs` gives it and the events carry it. */
export interface Job {
  readonly id: number
  readonly kind: JobKind
  readonly route: string
  readonly state: JobState
  /** ISO 8601. */
  readonly createdAt: string
  /** Of the first time that it ran; null: it waits for its turn. */
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly options: JobOptions
  readonly progress: JobProgress
  /** Why it does not go as fast as it could, while that is so. */
  readonly throttle: string | null
  /** Why it failed. */
  readonly error: string | null
  /** What came out; null until it is done. */
  readonly report: JobReport | null
}

export const JOB_KINDS = ['backfill', 'verify', 'repair', 'cleanup', 'restore', 'import', 'export'] as const
export type JobKind = (typeof JOB_KINDS)[number]

export const JOB_STATES = ['queued', 'running', 'paused', 'done', 'failed', 'cancelled'] as const
export type JobState = (typeof JOB_STATES)[number]

export const JOB_ACTIONS = ['pause', 'resume', 'cancel'] as const
export type JobAction = (typeof JOB_ACTIONS)[number]

export const ON_CONFLICT = ['overwrite', 'skip', 'fail'] as const
export const FILE_FORMATS = ['jsonl', 'leveldb'] as const
export const REPAIR_SOURCES = ['verify', 'dirty', 'mismatches'] as const

/** What is left out has the default of its kind. */
export interface JobOptions {
  /** At most so many keys per second. */
  readonly rate?: number
  /** Everything but the writing. */
  readonly dryRun?: boolean
  /** backfill: what becomes of a key whose other side holds something else; import, restore: of a key that is there. */
  readonly onConflict?: (typeof ON_CONFLICT)[number]
  /** verify: share of the keys, 0..1, by the hash of the key. */
  readonly sample?: number
  /** repair: where the keys come from. */
  readonly from?: readonly (typeof REPAIR_SOURCES)[number][]
  /** repair: delete what only the shadow has. */
  readonly deleteExtra?: boolean
  /** cleanup: the file that the keys are written to before they are deleted, on the machine that Understudy runs on. */
  readonly backup?: string
  /** restore, import, export: absolute path on the machine that Understudy runs on. */
  readonly file?: string
  /** import, export. */
  readonly format?: (typeof FILE_FORMATS)[number]
  /** import, export with LevelDB: what stands before the keys there, with a colon. */
  readonly namespace?: string
}

/** What each kind knows of them. */
export const OPTIONS_OF: Readonly<Record<JobKind, readonly (keyof JobOptions)[]>> = {
  backfill: ['rate', 'dryRun', 'onConflict'],
  verify: ['rate', 'sample'],
  repair: ['rate', 'dryRun', 'from', 'deleteExtra'],
  cleanup: ['rate', 'dryRun', 'backup'],
  restore: ['rate', 'dryRun', 'onConflict', 'file'],
  import: ['rate', 'dryRun', 'onConflict', 'file', 'format', 'namespace'],
  export: ['rate', 'file', 'format', 'namespace'],
}

/** It writes nothing: what it counts as copied, repaired or deleted only would be. */
export function isDryRun({ kind, options }: Pick<Job, 'kind' | 'options'>): boolean {
  return options.dryRun ?? kind === 'cleanup'
}

export interface JobRequest {
  readonly kind: JobKind
  readonly route: string
  readonly options: JobOptions
}

export interface JobQuery {
  readonly route?: string | undefined
  readonly state?: JobState | undefined
  readonly limit: number
}

export interface JobKeyQuery {
  /** Only keys with a greater `seq`. */
  readonly after: number
  readonly limit: number
}

export interface JobProgress {
  /** Keys that the stores' SCAN has given, of all routes, and how many are expected (of a job that is done: there were); null: not known yet. */
  readonly done: number
  readonly total: number | null
  /** `done` per second, lately. */
  readonly rate: number
  readonly etaSeconds: number | null
  readonly copied: number
  /** Of the route, and left as they are: equal, sampled out, in conflict, gone meanwhile, or dirty (verify, backfill, repair): left to the mirror. */
  readonly skipped: number
  readonly failed: number
  readonly compared: number
  readonly different: number
  readonly repaired: number
  readonly deleted: number
}

/** What a job counts. */
export type JobCount = Exclude<keyof JobProgress, 'done' | 'total' | 'rate' | 'etaSeconds'>
export const JOB_COUNTS: readonly JobCount[] = [
  'copied',
  'skipped',
  'failed',
  'compared',
  'different',
  'repaired',
  'deleted',
]

/** Of what a job counts, what it has done to keys. */
export const WORK_COUNTS: readonly JobCount[] = ['copied', 'repaired', 'deleted']

export interface JobReport {
  /** One sentence. */
  readonly summary: string
  /** Every key of the route was looked at and is as it should be. */
  readonly clean: boolean
  /** Keys listed (`/api/v1/jobs/:id/keys`) by class. */
  readonly classes: Readonly<Record<string, number>>
  /** Sentences about what this job cannot see, and what came in its way. */
  readonly notes: readonly string[]
  /** verify, repair: which end was the primary, from whose side its keys are told. Left out by an older version. */
  readonly primary?: 'source' | 'target'
}

/** A key that a job lists: one that failed or differs. */
export interface JobKey {
  readonly seq: number
  readonly database: number
  /** The application's name: printable ASCII as it is, everything else as \xHH. */
  readonly key: string
  /** A class of difference, `failed`, or `conflict`. */
  readonly class: string
  /** One sentence, without values. */
  readonly detail: string
}

/** Which state may follow which; every change goes through `JobStore.enter`. */
export const JOB_TRANSITIONS: Readonly<Record<JobState, readonly JobState[]>> = {
  queued: ['running', 'paused', 'cancelled', 'failed'],
  running: ['queued', 'paused', 'done', 'failed', 'cancelled'],
  paused: ['queued', 'cancelled'],
  done: [],
  failed: ['queued'],
  cancelled: [],
}

export function isOver(state: JobState): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled'
}
