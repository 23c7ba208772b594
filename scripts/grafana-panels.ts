/** What the dashboard for Grafana shows: its panels and what they ask Prometheus. `generate-grafana.ts` makes a dashboard of it. */

/** One graph, as little of it as has to be said. */
export interface Panel {
  readonly title: string
  readonly kind: 'timeseries' | 'stat' | 'state-timeline'
  readonly unit: string
  /** PromQL and legend. */
  readonly queries: readonly (readonly [string, string])[]
  readonly about?: string
  /** Of 24 columns. */
  readonly width?: number
  readonly thresholds?: readonly (readonly [number | null, string])[]
  readonly mappings?: Readonly<Record<string, string>>
}

export const WHERE = '{instance=~"$instance"}'
const ROUTE = 'instance=~"$instance", route=~"$route"'

const rate = (metric: string, labels = ''): string => `rate(${metric}{${ROUTE}${labels}}[$__rate_interval])`
/** How much a counter has grown whose series begin with the first event: `increase` would not count that one. */
const grown = (series: string): string =>
  `clamp_min(${series} - (${series} offset $__rate_interval or ${series} * 0), 0)`
const percentile = (share: number, role: string): string =>
  `histogram_quantile(${share}, sum by (le, route) (${rate('understudy_command_duration_seconds_bucket', `, role="${role}"`)}))`

const UP_OR_DOWN = { 0: 'down', 1: 'up' }
const RED_BELOW_1: Panel['thresholds'] = [
  [null, 'red'],
  [1, 'green'],
]
const RED_ABOVE_0: Panel['thresholds'] = [
  [null, 'green'],
  [1, 'red'],
]

/** From the top. */
export const ROWS: readonly { readonly title: string; readonly panels: readonly Panel[] }[] = [
  {
    title: 'Is it well?',
    panels: [
      {
        title: 'Stores',
        kind: 'stat',
        unit: 'none',
        queries: [[`understudy_store_up${WHERE}`, '{{store}}']],
        thresholds: RED_BELOW_1,
        mappings: UP_OR_DOWN,
        width: 6,
      },
      {
        title: 'Dirty keys',
        kind: 'stat',
        unit: 'short',
        queries: [[`sum by (route) (understudy_dirty_keys{${ROUTE}})`, '{{route}}']],
        thresholds: RED_ABOVE_0,
        width: 6,
      },
      {
        title: 'Mismatches, last hour',
        kind: 'stat',
        unit: 'short',
        // Not understudy_mismatches_total: its series begin with the first mismatch, so there would be no data instead of 0.
        queries: [
          [`sum by (route) (increase(understudy_compare_total{${ROUTE}, result="mismatch"}[1h]))`, '{{route}}'],
        ],
        about: 'Compared reads whose difference was confirmed.',
        thresholds: RED_ABOVE_0,
        width: 6,
      },
      {
        title: 'Last reload',
        kind: 'stat',
        unit: 'none',
        queries: [[`understudy_config_last_reload_successful${WHERE}`, '{{instance}}']],
        thresholds: RED_BELOW_1,
        mappings: { 0: 'failed', 1: 'in force' },
        width: 6,
      },
      {
        title: 'Phases',
        kind: 'state-timeline',
        unit: 'none',
        queries: [[`understudy_phase{${ROUTE}} == 1`, '{{route}}: {{phase}}']],
        about: 'Which phase each route was in.',
        width: 24,
      },
    ],
  },
  {
    title: 'The application',
    panels: [
      {
        title: 'Requests',
        kind: 'timeseries',
        unit: 'reqps',
        queries: [[`sum by (route, role) (${rate('understudy_commands_total')})`, '{{route}} {{role}}']],
      },
      {
        title: 'Errors, timeouts, lost connections of the primary',
        kind: 'timeseries',
        unit: 'reqps',
        queries: [
          [
            `sum by (route, outcome) (${rate('understudy_commands_total', ', role="primary", outcome!="ok"')})`,
            '{{route}} {{outcome}}',
          ],
        ],
      },
      {
        title: 'Latency of the primary',
        kind: 'timeseries',
        unit: 's',
        queries: [
          [percentile(0.5, 'primary'), '{{route}} p50'],
          [percentile(0.99, 'primary'), '{{route}} p99'],
        ],
      },
      {
        title: 'Latency of the shadow',
        kind: 'timeseries',
        unit: 's',
        queries: [
          [percentile(0.5, 'shadow'), '{{route}} p50'],
          [percentile(0.99, 'shadow'), '{{route}} p99'],
        ],
        about: 'What the application would wait for after a switch.',
      },
      {
        title: 'Clients',
        kind: 'timeseries',
        unit: 'short',
        queries: [[`understudy_clients_connected${WHERE}`, '{{instance}}']],
      },
      {
        title: 'Reads that fell back to the source',
        kind: 'timeseries',
        unit: 'reqps',
        queries: [[`sum by (route, reason) (${rate('understudy_fallback_reads_total')})`, '{{route}} {{reason}}']],
        about: 'In read-target only.',
      },
    ],
  },
  {
    title: 'The mirror',
    panels: [
      {
        title: 'Lag',
        kind: 'timeseries',
        unit: 's',
        queries: [[`max by (route) (understudy_mirror_lag_seconds{${ROUTE}})`, '{{route}}']],
        about: 'Age of the oldest write that the shadow has not acknowledged.',
      },
      {
        title: 'Backlog',
        kind: 'timeseries',
        unit: 'bytes',
        queries: [[`sum by (route) (understudy_mirror_backlog_bytes{${ROUTE}})`, '{{route}}']],
      },
      {
        title: 'Writes by what became of them',
        kind: 'timeseries',
        unit: 'wps',
        queries: [[`sum by (route, outcome) (${rate('understudy_mirror_writes_total')})`, '{{route}} {{outcome}}']],
      },
      {
        title: 'Dirty keys by reason',
        kind: 'timeseries',
        unit: 'short',
        queries: [[`sum by (route, reason) (understudy_dirty_keys_by_reason{${ROUTE}})`, '{{route}} {{reason}}']],
      },
      {
        title: 'Age of the oldest dirty key',
        kind: 'timeseries',
        unit: 's',
        queries: [[`max by (route) (understudy_dirty_oldest_seconds{${ROUTE}})`, '{{route}}']],
      },
      {
        title: 'Copying of dirty keys',
        kind: 'state-timeline',
        unit: 'none',
        queries: [[`understudy_repair_state{${ROUTE}} == 1`, '{{route}}: {{state}}']],
        about: 'Paused: a store is not connected. Tripped: copies keep failing.',
      },
    ],
  },
  {
    title: 'The comparison',
    panels: [
      {
        title: 'Mismatch rate',
        kind: 'timeseries',
        unit: 'percentunit',
        queries: [
          [
            `sum by (route) (${rate('understudy_compare_total', ', result="mismatch"')}) / sum by (route) (${rate('understudy_compare_total', ', result=~"match|mismatch"')})`,
            '{{route}}',
          ],
        ],
        about: 'Confirmed differences as a share of the compared reads.',
      },
      {
        title: 'Comparisons by result',
        kind: 'timeseries',
        unit: 'reqps',
        queries: [[`sum by (route, result) (${rate('understudy_compare_total')})`, '{{route}} {{result}}']],
      },
      {
        title: 'Mismatches by class and command',
        kind: 'timeseries',
        unit: 'short',
        queries: [
          [
            `sum by (route, class, command) (${grown(`understudy_mismatches_total{${ROUTE}}`)})`,
            '{{route}} {{class}} {{command}}',
          ],
        ],
        width: 24,
      },
    ],
  },
  {
    title: 'Switches and jobs',
    panels: [
      {
        title: 'Longest pause of a switch',
        kind: 'timeseries',
        unit: 's',
        queries: [
          [
            `histogram_quantile(1, sum by (le, route) (increase(understudy_cutover_pause_seconds_bucket{${ROUTE}}[5m])))`,
            '{{route}}',
          ],
        ],
        about: 'How long commands were held, to the bucket.',
      },
      {
        title: 'Keys that jobs have looked at',
        kind: 'timeseries',
        unit: 'short',
        queries: [[`understudy_job_done_keys{${ROUTE}}`, '{{exported_job}} of {{route}}']],
      },
      {
        title: 'Keys of jobs by outcome',
        kind: 'timeseries',
        unit: 'ops',
        queries: [
          [
            `sum by (route, exported_job, outcome) (${rate('understudy_job_keys_total')})`,
            '{{exported_job}} of {{route}}: {{outcome}}',
          ],
        ],
      },
      {
        title: 'CPU of the process',
        kind: 'timeseries',
        unit: 'percentunit',
        queries: [[`rate(process_cpu_seconds_total${WHERE}[$__rate_interval])`, '{{instance}}']],
        about: 'The data path takes one core at most.',
      },
    ],
  },
]
