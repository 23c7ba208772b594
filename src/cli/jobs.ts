import { resolve } from 'node:path'
import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import { UnderstudyError } from '../base/errors.ts'
import { firstLineOf, openToRead } from '../jobs/files/lines.ts'
import type { Job, JobAction, JobKind, JobOptions, JobState } from '../jobs/runner/job.ts'
import { FILE_FORMATS, JOB_STATES, ON_CONFLICT, REPAIR_SOURCES } from '../jobs/runner/job.ts'
import { type AdminOptions, adminClient, type JsonOption, jsonOption, withAdminOptions } from './admin-options.ts'
import { EXIT } from './exit-code.ts'
import { allKeys, follow, keyLines, tell } from './job-follow.ts'
import { jobOf, listOf } from './older-answers.ts'
import { tableLines } from './table.ts'
import { printable, type Terminal } from './terminal.ts'

/** Steering a running job waits until it has stopped. */
const STEER_TIMEOUT_MS = 60_000
const START_TIMEOUT_MS = 10_000

interface StartOptions extends AdminOptions, JsonOption, Omit<JobOptions, 'from'> {
  readonly detach?: boolean
  readonly yes?: boolean
  readonly from?: JobOptions['from']
}

/** `understudy backfill|verify|repair|cleanup`: each starts a job in the running sidecar and follows it. */
export function addJobCommands(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  const add = (kind: JobKind, description: string): Command =>
    withAdminOptions(program.command(kind))
      .description(`${description}; follows the job with a progress bar`)
      .argument('<route>', 'name of the route')
      .option('--rate <keys>', 'at most so many keys per second', positiveNumber)
      .option('--detach', 'start it and leave; `understudy jobs` shows it')
      .addOption(jsonOption())
      .action(async (route: string, given: StartOptions) => {
        finish(await start(kind, route, jobOptions(kind, given), given, terminal))
      })

  add('backfill', 'copy every key of a route from its primary to the other side, while the application goes on')
    .addOption(
      new Option('--on-conflict <what>', 'what becomes of a key whose other side holds something else')
        .choices(ON_CONFLICT)
        .default('overwrite'),
    )
    .option('--dry-run', 'count what would be copied, write nothing')
  add('verify', 'compare both sides of a route, key by key, in both directions; exit code 1 when they differ')
    .option('--sample <share>', 'look at a share of the keys only, e.g. 1%', share)
    .option('--dry-run', 'changes nothing: a verify writes to no store anyway')
  add('repair', 'copy the keys that are known to differ, and look at each again')
    .option('--from <sources>', `where the keys come from, of: ${REPAIR_SOURCES.join(', ')} (default: all)`, sources)
    .option('--delete-extra', 'delete what only the other side has')
    .option('--dry-run', 'say what would be done, write nothing')
  add(
    'cleanup',
    'delete the keys of the side that is no longer read, where both sides are equal; a dry run without --yes',
  )
    .option('--backup <file>', 'write the keys to this new file first, on the machine that Understudy runs on')
    .addOption(
      new Option('--dry-run', 'say what would be done, write nothing; so it is without --yes').conflicts('yes'),
    )
    .option('--yes', 'do it')
}

/** `understudy import|export|restore`: keys from and to files on the machine that Understudy runs on. */
export function addFileJobs(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  const run = async (kind: JobKind, route: string, file: string, given: StartOptions): Promise<void> => {
    const options = { ...jobOptions(kind, given), file: resolve(file) }
    finish(await start(kind, route, options, given, terminal))
  }
  const add = (kind: 'import' | 'export', description: string): Command =>
    withAdminOptions(program.command(kind))
      .description(description)
      .argument('<route>', 'name of the route')
      .argument('<path>', 'file, or directory of a LevelDB, on the machine that Understudy runs on')
      .addOption(new Option('--format <format>', 'of the file').choices(FILE_FORMATS).default('jsonl'))
      .option('--namespace <name>', 'with leveldb: what stands before the keys there, with a colon')
      .option('--rate <keys>', 'at most so many keys per second', positiveNumber)
      .option('--detach', 'start it and leave; `understudy jobs` shows it')
      .addOption(jsonOption())
      .action((route: string, path: string, given: StartOptions) => run(kind, route, path, given))
  add('import', "write the keys of a file into a route's primary, and to the other side where it is mirrored")
    .addOption(
      new Option('--on-conflict <what>', 'what becomes of a key that is there').choices(ON_CONFLICT).default('skip'),
    )
    .option('--dry-run', 'count what would be imported, write nothing')
  add('export', 'write every key of a route to a new file, as its primary holds it')
  withAdminOptions(program.command('restore'))
    .description("put the keys of a backup file of `cleanup` back into the route's source")
    .argument('<file>', 'backup file, on the machine that Understudy runs on')
    .option('--route <name>', 'name of the route (default: the one that stands in the file)')
    .addOption(
      new Option('--on-conflict <what>', 'what becomes of a key that is there').choices(ON_CONFLICT).default('skip'),
    )
    .option('--dry-run', 'count what would be put back, write nothing')
    .option('--rate <keys>', 'at most so many keys per second', positiveNumber)
    .option('--detach', 'start it and leave; `understudy jobs` shows it')
    .addOption(jsonOption())
    .action(async (file: string, given: StartOptions & { readonly route?: string }) =>
      run('restore', given.route ?? (await routeOfBackup(file)), file, given),
    )
}

/** The route that stands in the first line of a backup file. */
async function routeOfBackup(path: string): Promise<string> {
  try {
    const file = await openToRead(path)
    const first = await firstLineOf(file).finally(() => file.close())
    const { route } = JSON.parse(first?.text ?? '') as { route?: unknown }
    if (typeof route === 'string') return route
  } catch {
    // The file may be on another machine, where only Understudy can read it.
  }
  throw new UnderstudyError('USAGE', `which route is ${path} of? It cannot be read here: give --route`)
}

async function start(
  kind: JobKind,
  route: string,
  options: JobOptions,
  given: StartOptions,
  terminal: Terminal,
): Promise<number> {
  const client = adminClient(given)
  const job = jobOf(await client.post<unknown>('/api/v1/jobs', { kind, route, options }, START_TIMEOUT_MS))
  if (!given.detach) return follow(client, job, terminal, given)
  if (given.json) terminal.json(job)
  else terminal.line(`Job ${job.id} is ${job.state}: understudy jobs follow ${job.id}`)
  return EXIT.done
}

function jobOptions(kind: JobKind, given: StartOptions): JobOptions {
  const { rate, dryRun, onConflict, sample, from, deleteExtra, backup, yes, format, namespace } = given
  return {
    ...(rate === undefined ? {} : { rate }),
    ...(kind === 'cleanup' ? { dryRun: yes !== true } : dryRun && kind !== 'verify' ? { dryRun } : {}),
    ...(onConflict === undefined || (kind === 'backfill' && onConflict === 'overwrite') ? {} : { onConflict }),
    ...(format === undefined ? {} : { format }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(sample === undefined ? {} : { sample }),
    ...(from === undefined ? {} : { from }),
    ...(deleteExtra ? { deleteExtra } : {}),
    ...(backup === undefined ? {} : { backup: resolve(backup) }),
  }
}

const ACTIONS = ['pause', 'resume', 'cancel', 'follow', 'show', 'keys'] as const

interface JobsOptions extends AdminOptions, JsonOption {
  readonly route?: string
  readonly state?: JobState
  readonly jsonl?: boolean
}

/** `understudy jobs`: list, look at and steer them. */
export function addJobs(program: Command, terminal: Terminal, finish: (exitCode: number) => void): void {
  withAdminOptions(program.command('jobs'))
    .description('list jobs, or look at and steer one')
    .addArgument(
      new Argument('[action]', 'pause, resume or cancel a job; follow it; show it; list the keys it found').choices(
        ACTIONS,
      ),
    )
    .argument('[id]', 'number of the job', positiveNumber)
    .option('--route <name>', 'only of this route')
    .addOption(new Option('--state <state>', 'only in this state').choices(JOB_STATES))
    .option('--jsonl', '`keys`: one JSON object a line, as with --json')
    .addOption(jsonOption())
    .action(async (action: (typeof ACTIONS)[number] | undefined, id: number | undefined, options: JobsOptions) => {
      const client = adminClient(options)
      if (action === undefined) {
        const answer = await client.get<unknown>(listPath(options))
        const jobs = listOf(answer, jobOf)
        if (options.json) terminal.json(answer)
        else if (jobs.length === 0) terminal.line('No jobs.')
        else for (const line of tableLines(COLUMNS, jobs.map(rowOf))) terminal.line(line)
        return finish(EXIT.done)
      }
      if (id === undefined) throw new UnderstudyError('USAGE', `understudy jobs ${action} needs the number of a job`)
      const path = `/api/v1/jobs/${id}`
      switch (action) {
        case 'follow':
          return finish(await follow(client, jobOf(await client.get<unknown>(path)), terminal, options))
        case 'show':
          await tell(client, jobOf(await client.get<unknown>(path)), terminal, options)
          return finish(EXIT.done)
        case 'keys': {
          let found = 0
          for await (const keys of allKeys(client, id)) {
            found += keys.length
            if (options.json || options.jsonl) for (const key of keys) terminal.json(key, 0)
            else for (const line of keyLines(keys)) terminal.line(line)
          }
          if (found === 0 && !options.json && !options.jsonl) terminal.line('No keys are listed.')
          return finish(EXIT.done)
        }
        default: {
          const job = jobOf(await client.patch<unknown>(path, { action: action satisfies JobAction }, STEER_TIMEOUT_MS))
          if (options.json) terminal.json(job)
          else terminal.line(printable(`${job.kind} ${job.route} (job ${job.id}): ${job.state}`))
          finish(EXIT.done)
        }
      }
    })
}

const COLUMNS = ['job', 'kind', 'route', 'state', 'done', 'of', 'rate', 'failed', 'different', 'started', 'result'].map(
  (title) => ({
    title,
    right: ['job', 'done', 'of', 'rate', 'failed', 'different'].includes(title),
  }),
)

function rowOf({ id, kind, route, state, progress, startedAt, throttle, error, report }: Job): string[] {
  return [
    String(id),
    kind,
    route,
    state,
    String(progress.done),
    progress.total === null ? '?' : String(progress.total),
    state === 'running' ? `${progress.rate}/s` : '',
    String(progress.failed),
    String(progress.different),
    startedAt?.replace('T', ' ').replace(/\.\d+Z$/, 'Z') ?? '-',
    error ?? report?.summary ?? throttle ?? '',
  ].map(printable)
}

function listPath({ route, state }: JobsOptions): string {
  const query = new URLSearchParams({
    ...(route === undefined ? {} : { route }),
    ...(state === undefined ? {} : { state }),
  })
  return `/api/v1/jobs?${query}`
}

function positiveNumber(text: string): number {
  const value = Number(text.replaceAll(/[,_]/g, ''))
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('It must be a number above 0.')
  return value
}

function share(text: string): number {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(text)
  const value = match === null ? Number.NaN : Number(match[1]) / 100
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('It must be a percentage, such as 1%.')
  return value
}

function sources(text: string): NonNullable<JobOptions['from']> {
  const list = text.split(',')
  const known: readonly string[] = REPAIR_SOURCES
  if (list.some((one) => !known.includes(one)))
    throw new InvalidArgumentError(`They are: ${REPAIR_SOURCES.join(', ')}.`)
  return list as unknown as NonNullable<JobOptions['from']>
}
