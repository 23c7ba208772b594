import { describe, expect, test } from 'vitest'
import { MISMATCH_CLASSES } from '../../src/admin/control.ts'
import { PHASES } from '../../src/config/config.ts'
import { COMMAND_DURATION_BOUNDS, CUTOVER_PAUSE_BOUNDS } from '../../src/observability/bounds.ts'
import { Histogram } from '../../src/observability/histogram.ts'
import { Metrics } from '../../src/observability/metrics.ts'
import { METRICS } from '../../src/observability/metrics-catalogue.ts'
import type { MetricsSnapshot } from '../../src/observability/metrics-snapshot.ts'
import { type Exposition, parseExposition } from './exposition.ts'

function histogramOf(bounds: readonly number[], values: number[]) {
  const histogram = new Histogram(bounds)
  for (const value of values) histogram.record(value)
  return histogram.snapshot()
}

function snapshot(): MetricsSnapshot {
  return {
    routes: {
      'jobs "1"\\x': {
        phase: 'read-target',
        commands: {
          primary: { ok: 1, error: 2, timeout: 3, lost: 4 },
          shadow: { ok: 5, error: 6, timeout: 7, lost: 8 },
        },
        durations: {
          primary: histogramOf(COMMAND_DURATION_BOUNDS, [0.00005, 0.0002, 0.003, 20]),
          shadow: histogramOf(COMMAND_DURATION_BOUNDS, []),
        },
        mirror: {
          lagSeconds: 0.25,
          backlogBytes: 1000,
          backlogCommands: 9,
          writes: { applied: 10, error: 11, copied: 12, dirty: 13 },
        },
        dirtyKeys: 14,
        hotKeys: 3,
        keyHolds: { outcomes: { read: 40, 'called-off': 41 }, seconds: 0.5 },
        dirtyReasons: { overlap: 14 },
        oldestDirtySeconds: 27,
        needsVerify: true,
        scriptsInDoubt: 2,
        crossSlots: [{ command: 'SUNION', count: 31 }],
        repair: 'paused',
        compare: { match: 15, mismatch: 16, transient: 17, acknowledged: 30, skipped: 18 },
        comparison: {
          skipped: { disturbed: 18 },
          ignored: 31,
          repaired: 32,
          baseline: { compared: 40, differed: 7 },
          durations: {
            primary: histogramOf(COMMAND_DURATION_BOUNDS, [0.0002]),
            shadow: histogramOf(COMMAND_DURATION_BOUNDS, [0.003]),
          },
        },
        mismatches: [{ class: 'ttl', command: 'PTTL', count: 19 }],
        fallbackReads: { miss: 20, error: 21, timeout: 22, open: 23 },
        jobs: [{ job: 'backfill', running: true, failed: false, done: 29 }],
        jobKeys: [{ job: 'backfill', outcome: 'copied', count: 23 }],
        cutoverPauses: histogramOf(CUTOVER_PAUSE_BOUNDS, [0.02]),
      },
    },
    stores: {
      old: { up: true, sentinel: { answering: 3, failovers: 1 }, nodes: [] },
      new: {
        up: false,
        sentinel: null,
        nodes: [
          { address: '10.0.0.1:6379', role: 'master', up: true },
          { address: '10.0.0.2:6379', role: 'replica', up: false },
        ],
      },
    },
    unknownWrites: { 'JSON.SET': 26 },
    clients: { connected: 24 },
    durability: { intact: true, intentLogBytes: 28 },
    config: { lastReloadSuccessful: false, epoch: 25 },
  }
}

async function scrape(metrics: Metrics): Promise<Exposition> {
  return parseExposition((await metrics.render()).body)
}

const ROUTE = 'jobs "1"\\x'

/** Name -> kind and labels: what those who write alerts rely on. */
const CONTRACT: Record<string, [kind: string, labels: string[]]> = {
  understudy_commands_total: ['counter', ['route', 'role', 'outcome']],
  understudy_command_duration_seconds: ['histogram', ['route', 'role']],
  understudy_mirror_lag_seconds: ['gauge', ['route']],
  understudy_mirror_backlog_bytes: ['gauge', ['route']],
  understudy_mirror_backlog_commands: ['gauge', ['route']],
  understudy_mirror_writes_total: ['counter', ['route', 'outcome']],
  understudy_mirror_unknown_writes_total: ['counter', ['command']],
  understudy_dirty_keys: ['gauge', ['route']],
  understudy_dirty_keys_by_reason: ['gauge', ['route', 'reason']],
  understudy_dirty_keys_hot: ['gauge', ['route']],
  understudy_key_holds_total: ['counter', ['route', 'outcome']],
  understudy_key_hold_seconds_total: ['counter', ['route']],
  understudy_dirty_oldest_seconds: ['gauge', ['route']],
  understudy_needs_verify: ['gauge', ['route']],
  understudy_repair_state: ['gauge', ['route', 'state']],
  understudy_cross_slot_commands_total: ['counter', ['route', 'command']],
  understudy_scripts_in_doubt: ['gauge', ['route']],
  understudy_durable: ['gauge', []],
  understudy_intent_log_bytes: ['gauge', []],
  understudy_compare_total: ['counter', ['route', 'result']],
  understudy_compare_skipped_total: ['counter', ['route', 'reason']],
  understudy_compare_ignored_total: ['counter', ['route']],
  understudy_compare_repaired_total: ['counter', ['route']],
  understudy_compare_baseline_total: ['counter', ['route', 'result']],
  understudy_compare_duration_seconds: ['histogram', ['route', 'role']],
  understudy_mismatches_total: ['counter', ['route', 'class', 'command']],
  understudy_fallback_reads_total: ['counter', ['route', 'reason']],
  understudy_job_running: ['gauge', ['route', 'job']],
  understudy_job_failed: ['gauge', ['route', 'job']],
  understudy_job_done_keys: ['gauge', ['route', 'job']],
  understudy_job_keys_total: ['counter', ['route', 'job', 'outcome']],
  understudy_phase: ['gauge', ['route', 'phase']],
  understudy_cutover_pause_seconds: ['histogram', ['route']],
  understudy_store_up: ['gauge', ['store']],
  understudy_store_node_up: ['gauge', ['store', 'node', 'role']],
  understudy_store_failovers_total: ['counter', ['store']],
  understudy_store_sentinels_answering: ['gauge', ['store']],
  understudy_clients_connected: ['gauge', []],
  understudy_config_last_reload_successful: ['gauge', []],
  understudy_config_epoch: ['gauge', []],
}

describe('/metrics', () => {
  const metrics = new Metrics(async () => snapshot())

  test.each(Object.entries(CONTRACT))('has %s with its kind and labels', async (name, [kind, labels]) => {
    const { types, samples } = await scrape(metrics)
    expect(types.get(name)).toBe(kind)
    const own = samples.filter((sample) => sample.name === (kind === 'histogram' ? `${name}_count` : name))
    expect(own.length).toBeGreaterThan(0)
    for (const sample of own) expect(Object.keys(sample.labels).sort()).toEqual([...labels].sort())
  })

  test('label values are those of the product', () => {
    const labelsOf = (name: string) => METRICS.find((metric) => metric.name === name)?.labels
    expect(labelsOf('understudy_phase')?.['phase']).toEqual(PHASES)
    expect(labelsOf('understudy_mismatches_total')?.['class']).toEqual(MISMATCH_CLASSES)
  })

  test('has no metric of ours that is not listed here', () => {
    expect(METRICS.map((metric) => metric.name).sort()).toEqual(Object.keys(CONTRACT).sort())
  })

  test('gives every number under its own labels', async () => {
    const { value } = await scrape(metrics)
    expect(value('understudy_commands_total', { route: ROUTE, role: 'primary', outcome: 'lost' })).toBe(4)
    expect(value('understudy_commands_total', { route: ROUTE, role: 'shadow', outcome: 'timeout' })).toBe(7)
    expect(value('understudy_mirror_lag_seconds', { route: ROUTE })).toBe(0.25)
    expect(value('understudy_mirror_backlog_bytes', { route: ROUTE })).toBe(1000)
    expect(value('understudy_mirror_backlog_commands', { route: ROUTE })).toBe(9)
    expect(value('understudy_mirror_writes_total', { route: ROUTE, outcome: 'copied' })).toBe(12)
    expect(value('understudy_mirror_unknown_writes_total', { command: 'JSON.SET' })).toBe(26)
    expect(value('understudy_dirty_keys', { route: ROUTE })).toBe(14)
    expect(value('understudy_dirty_keys_by_reason', { route: ROUTE, reason: 'overlap' })).toBe(14)
    expect(value('understudy_dirty_keys_hot', { route: ROUTE })).toBe(3)
    expect(value('understudy_key_holds_total', { route: ROUTE, outcome: 'called-off' })).toBe(41)
    expect(value('understudy_key_hold_seconds_total', { route: ROUTE })).toBe(0.5)
    expect(value('understudy_dirty_oldest_seconds', { route: ROUTE })).toBe(27)
    expect(value('understudy_needs_verify', { route: ROUTE })).toBe(1)
    expect(value('understudy_repair_state', { route: ROUTE, state: 'paused' })).toBe(1)
    expect(value('understudy_durable', {})).toBe(1)
    expect(value('understudy_intent_log_bytes', {})).toBe(28)
    expect(value('understudy_compare_total', { route: ROUTE, result: 'transient' })).toBe(17)
    expect(value('understudy_compare_baseline_total', { route: ROUTE, result: 'match' })).toBe(33)
    expect(value('understudy_mismatches_total', { route: ROUTE, class: 'ttl', command: 'PTTL' })).toBe(19)
    expect(value('understudy_fallback_reads_total', { route: ROUTE, reason: 'error' })).toBe(21)
    expect(value('understudy_job_running', { route: ROUTE, job: 'backfill' })).toBe(1)
    expect(value('understudy_job_failed', { route: ROUTE, job: 'backfill' })).toBe(0)
    expect(value('understudy_job_done_keys', { route: ROUTE, job: 'backfill' })).toBe(29)
    expect(value('understudy_job_keys_total', { route: ROUTE, job: 'backfill', outcome: 'copied' })).toBe(23)
    expect(value('understudy_store_up', { store: 'old' })).toBe(1)
    expect(value('understudy_store_up', { store: 'new' })).toBe(0)
    expect(value('understudy_cross_slot_commands_total', { route: ROUTE, command: 'SUNION' })).toBe(31)
    expect(value('understudy_store_node_up', { store: 'new', node: '10.0.0.1:6379', role: 'master' })).toBe(1)
    expect(value('understudy_store_node_up', { store: 'new', node: '10.0.0.2:6379', role: 'replica' })).toBe(0)
    expect(value('understudy_clients_connected', {})).toBe(24)
    expect(value('understudy_config_last_reload_successful', {})).toBe(0)
    expect(value('understudy_config_epoch', {})).toBe(25)
  })

  test('gives 1 for the phase in force and 0 for every other phase', async () => {
    const { samples } = await scrape(metrics)
    const phases = samples.filter((sample) => sample.name === 'understudy_phase')
    expect(phases.map((sample) => sample.labels['phase'])).toEqual([...PHASES])
    expect(phases.filter((sample) => sample.value === 1).map((sample) => sample.labels['phase'])).toEqual([
      'read-target',
    ])
  })

  test('histograms are cumulative, end with +Inf, and agree with their count and sum', async () => {
    const { samples, value } = await scrape(metrics)
    const labels = { route: ROUTE, role: 'primary' }
    const buckets = samples.filter(
      (sample) => sample.name === 'understudy_command_duration_seconds_bucket' && sample.labels['role'] === 'primary',
    )
    expect(buckets.map((bucket) => Number(bucket.labels['le']?.replace('+Inf', 'Infinity')))).toEqual([
      ...COMMAND_DURATION_BOUNDS,
      Number.POSITIVE_INFINITY,
    ])
    for (let i = 1; i < buckets.length; i++) expect(buckets[i]!.value).toBeGreaterThanOrEqual(buckets[i - 1]!.value)
    expect(value('understudy_command_duration_seconds_bucket', { ...labels, le: '0.00005' })).toBe(1)
    expect(value('understudy_command_duration_seconds_bucket', { ...labels, le: '0.0025' })).toBe(2)
    expect(value('understudy_command_duration_seconds_bucket', { ...labels, le: '10' })).toBe(3)
    expect(value('understudy_command_duration_seconds_bucket', { ...labels, le: '+Inf' })).toBe(4)
    expect(value('understudy_command_duration_seconds_count', labels)).toBe(4)
    expect(value('understudy_command_duration_seconds_sum', labels)).toBeCloseTo(20.00325)
    expect(value('understudy_cutover_pause_seconds_bucket', { route: ROUTE, le: '0.01' })).toBe(0)
    expect(value('understudy_cutover_pause_seconds_bucket', { route: ROUTE, le: '0.025' })).toBe(1)
  })

  test('tells about the process too', async () => {
    const { types } = await scrape(metrics)
    expect(types.get('process_resident_memory_bytes')).toBe('gauge')
    expect(types.get('nodejs_eventloop_lag_seconds')).toBe('gauge')
  })

  test('a route that is gone is gone, and the next scrape shows new numbers', async () => {
    let epoch = 0
    const changing = new Metrics(async () => {
      const { routes: _, ...rest } = snapshot()
      return { ...rest, routes: {}, config: { lastReloadSuccessful: true, epoch: ++epoch } }
    })
    expect((await scrape(changing)).value('understudy_config_epoch', {})).toBe(1)
    const second = await scrape(changing)
    expect(second.value('understudy_config_epoch', {})).toBe(2)
    expect(second.samples.filter((sample) => 'route' in sample.labels)).toEqual([])
  })

  test('scrapes at the same time share one snapshot, and a failed one does not stick', async () => {
    let taken = 0
    const flaky = new Metrics(async () => {
      if (++taken === 1) throw new Error('the data path does not answer')
      return snapshot()
    })
    await expect(flaky.render()).rejects.toThrow('does not answer')
    const [a, b] = await Promise.all([flaky.render(), flaky.render()])
    expect(a).toBe(b)
    expect(taken).toBe(2)
  })
})
