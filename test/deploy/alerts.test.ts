import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { findProgram } from '../../src/base/find-program.ts'
import { METRICS } from '../../src/observability/metrics-catalogue.ts'
import { anchorsIn, pages, ROOT } from '../docs/markdown.ts'
import { labelsNamed, metricsNamed, storedLabel } from './promql.ts'

interface Rule {
  alert: string
  expr: string
  for?: string
  labels: { severity: string }
  annotations: { summary: string; description: string; runbook_url: string }
}

const FILE = join(ROOT, 'deploy/prometheus/alerts.yaml')
const RULES = (parse(readFileSync(FILE, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  ({ rules }) => rules,
)
const promtool = findProgram('promtool')

const at = { instance: 'pod-1', route: 'jobs' }
const series = (name: string, labels: Record<string, string>, values: string) => ({
  series: `${name}{${Object.entries(labels)
    .map(([label, value]) => `${label}="${value}"`)
    .join(', ')}}`,
  values,
})
const commands = (role: string, outcome: string, values: string) =>
  series('understudy_commands_total', { ...at, role, outcome }, values)

/** For each alert the series of a bad hour, in steps of a minute, and of one that is none: `value+increment x steps`. */
const CASES: Record<string, { bad: object[]; good: object[] }> = {
  UnderstudyDown: {
    bad: [series('up', { job: 'understudy', instance: 'pod-1' }, '0x60')],
    good: [series('up', { job: 'understudy', instance: 'pod-1' }, '1x60')],
  },
  UnderstudyStoreDown: {
    bad: [series('understudy_store_up', { instance: 'pod-1', store: 'new' }, '0x60')],
    good: [series('understudy_store_up', { instance: 'pod-1', store: 'new' }, '1x60')],
  },
  UnderstudySentinelsSilent: {
    bad: [series('understudy_store_sentinels_answering', { instance: 'pod-1', store: 'new' }, '0x60')],
    good: [series('understudy_store_sentinels_answering', { instance: 'pod-1', store: 'new' }, '1x60')],
  },
  UnderstudyTimeouts: {
    bad: [commands('primary', 'timeout', '0+1x60')],
    good: [commands('primary', 'timeout', '7x60'), commands('shadow', 'timeout', '0+1x60')],
  },
  UnderstudyErrorRate: {
    bad: [commands('primary', 'ok', '0+900x60'), commands('primary', 'error', '0+100x60')],
    good: [commands('primary', 'ok', '0+990x60'), commands('primary', 'error', '0+10x60')],
  },
  UnderstudyLatency: {
    bad: latencies(0.1),
    good: latencies(0.01),
  },
  UnderstudyMirrorLag: {
    bad: [series('understudy_mirror_lag_seconds', at, '9x60')],
    good: [series('understudy_mirror_lag_seconds', at, '2x60')],
  },
  UnderstudyBacklog: {
    bad: [series('understudy_mirror_backlog_bytes', at, '60000000x60')],
    good: [series('understudy_mirror_backlog_bytes', at, '1000000x60')],
  },
  UnderstudyMirrorErrors: {
    bad: [series('understudy_mirror_writes_total', { ...at, outcome: 'error' }, '0+60x60')],
    good: [series('understudy_mirror_writes_total', { ...at, outcome: 'applied' }, '0+60x60')],
  },
  UnderstudyUnknownWrites: {
    bad: [series('understudy_mirror_unknown_writes_total', { instance: 'pod-1', command: 'JSON.SET' }, '_x58 1x1')],
    good: [series('understudy_mirror_unknown_writes_total', { instance: 'pod-1', command: 'JSON.SET' }, '3x120')],
  },
  UnderstudyDirtyKeysGrow: {
    bad: [series('understudy_dirty_keys', at, '0+50x60')],
    good: [series('understudy_dirty_keys', at, '9000-100x60')],
  },
  UnderstudyDirtyKeysStay: {
    bad: [series('understudy_dirty_keys', at, '3x60'), series('understudy_dirty_oldest_seconds', at, '0+60x60')],
    good: [
      series('understudy_dirty_keys', at, '3x5 0 3x5 0 3x5 0 3x5 0 3x5 0 3x5 0 3x5 0 3x5 0 3x5 0 3x5 0'),
      // Written all the time, and copied again and again.
      series('understudy_dirty_keys', { ...at, route: 'queues' }, '3x60'),
      series('understudy_dirty_oldest_seconds', { ...at, route: 'queues' }, '2x60'),
    ],
  },
  UnderstudyNeedsVerify: {
    bad: [series('understudy_needs_verify', at, '1x60')],
    good: [series('understudy_needs_verify', at, '0x60')],
  },
  UnderstudyNotDurable: {
    bad: [series('understudy_durable', { instance: 'pod-1' }, '0x60')],
    good: [series('understudy_durable', { instance: 'pod-1' }, '1x60')],
  },
  UnderstudyMismatchRate: {
    bad: compared('0+9990x60', '0+10x60'),
    good: compared('0+10000x60', '0x60'),
  },
  UnderstudyFallbackRate: {
    bad: [
      series('understudy_fallback_reads_total', { ...at, reason: 'miss' }, '0+50x60'),
      commands('shadow', 'ok', '0+1000x60'),
    ],
    good: [
      series('understudy_fallback_reads_total', { ...at, reason: 'miss' }, '0+1x60'),
      commands('shadow', 'ok', '0+1000x60'),
    ],
  },
  UnderstudyReloadFailed: {
    bad: [series('understudy_config_last_reload_successful', { instance: 'pod-1' }, '0x60')],
    good: [series('understudy_config_last_reload_successful', { instance: 'pod-1' }, '1x60')],
  },
  UnderstudyJobStalled: { bad: running('500x60'), good: running('0+500x60') },
  UnderstudyJobFailed: {
    bad: [series('understudy_job_failed', { ...at, job: 'understudy', exported_job: 'verify' }, '1x60')],
    good: [series('understudy_job_failed', { ...at, job: 'understudy', exported_job: 'verify' }, '0x60')],
  },
  UnderstudySwitchPause: { bad: pauses('0x50 0x10'), good: pauses('0x50 1x10') },
}

function latencies(seconds: number): object[] {
  return [0.01, 0.1, Number.POSITIVE_INFINITY].map((le) =>
    series(
      'understudy_command_duration_seconds_bucket',
      { ...at, role: 'primary', le: String(le).replace('Infinity', '+Inf') },
      le >= seconds ? '0+1000x60' : '0x60',
    ),
  )
}

function compared(match: string, mismatch: string): object[] {
  return [
    series('understudy_compare_total', { ...at, result: 'match' }, match),
    series('understudy_compare_total', { ...at, result: 'mismatch' }, mismatch),
  ]
}

function running(done: string): object[] {
  return [
    series('understudy_job_running', { ...at, job: 'understudy', exported_job: 'backfill' }, '1x60'),
    series('understudy_job_done_keys', { ...at, job: 'understudy', exported_job: 'backfill' }, done),
  ]
}

/** One switch in the last ten minutes; `quick` counts it below 250 ms, or not. */
function pauses(quick: string): object[] {
  return [
    series('understudy_cutover_pause_seconds_count', at, '0x50 1x10'),
    series('understudy_cutover_pause_seconds_bucket', { ...at, le: '0.25' }, quick),
  ]
}

describe.each(RULES.map((rule) => [rule.alert, rule] as const))('%s', (_alert, rule) => {
  test('names only metrics and labels that exist', () => {
    const known = new Map(METRICS.map((metric) => [metric.name, Object.keys(metric.labels).map(storedLabel)]))
    const names = metricsNamed(rule.expr).filter((name) => name !== 'up')
    expect(names.filter((name) => !known.has(name))).toEqual([])
    const scraped = rule.expr.includes('up{') ? ['job'] : []
    const labels = new Set(['instance', 'le', ...scraped, ...names.flatMap((name) => known.get(name)!)])
    expect(labelsNamed(rule.expr).filter((label) => !labels.has(label))).toEqual([])
    const shown = [
      ...Object.values(rule.annotations)
        .join(' ')
        .matchAll(/\$labels\.(\w+)/g),
    ].map(([, label]) => label!)
    expect(shown.filter((label) => !labels.has(label))).toEqual([])
  })

  test('has its section in the runbook', () => {
    const [file, anchor] = rule.annotations.runbook_url.split('#') as [string, string]
    const page = pages().find(({ path }) => path === file)
    expect(page === undefined ? [] : anchorsIn(page)).toContain(anchor)
    expect(['critical', 'warning']).toContain(rule.labels.severity)
  })
})

test('every section of the runbook that is named like an alert belongs to one', () => {
  const runbook = pages().find(({ path }) => path === 'docs/runbook.md')!
  const sections = anchorsIn(runbook).filter((anchor) => anchor.startsWith('understudy'))
  expect(sections.toSorted()).toEqual(RULES.map(({ alert }) => alert.toLowerCase()).toSorted())
})

test.skipIf(promtool === null)('promtool accepts the rules (Debian package prometheus)', () => {
  expect(execFileSync(promtool!, ['check', 'rules', FILE], { encoding: 'utf8' })).toContain(
    `${RULES.length} rules found`,
  )
})

test.skipIf(promtool === null)(
  'every alert fires in its bad hour and is silent in its good one (promtool, of the Debian package prometheus)',
  () => {
    expect(Object.keys(CASES).toSorted()).toEqual(RULES.map(({ alert }) => alert).toSorted())
    const hour = (alert: string, input: object[], fires: boolean) => ({
      name: `${alert}, ${fires ? 'bad' : 'good'} hour`,
      interval: '1m',
      input_series: input,
      promql_expr_test: [
        {
          expr: `count(ALERTS{alertname="${alert}", alertstate="firing"})`,
          eval_time: '60m',
          exp_samples: fires ? [{ labels: '{}', value: 1 }] : [],
        },
      ],
    })
    const tests = Object.entries(CASES).flatMap(([alert, { bad, good }]) => [
      hour(alert, bad, true),
      hour(alert, good, false),
    ])
    const directory = mkdtempSync(join(tmpdir(), 'understudy-alerts-'))
    try {
      writeFileSync(join(directory, 'test.yaml'), stringify({ rule_files: [FILE], evaluation_interval: '1m', tests }))
      const { status, stdout, stderr } = spawnSync(promtool!, ['test', 'rules', join(directory, 'test.yaml')], {
        encoding: 'utf8',
      })
      expect({ status, said: stdout + stderr }).toEqual({ status: 0, said: expect.stringContaining('SUCCESS') })
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  },
)
