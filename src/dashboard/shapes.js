/**
 * The shapes that the page works with, but for Chart all of them as `/api/v1` gives them. It is checked against them, and does not load this file.
 *
 * @typedef {import('../config/config.ts').Phase} Phase
 * @typedef {import('../admin/status.ts').Status} Status
 * @typedef {import('../admin/status.ts').RouteStatus} RouteStatus
 * @typedef {import('../admin/control.ts').RouteView} RouteView
 * @typedef {import('../admin/control.ts').PhaseResult} PhaseResult
 * @typedef {import('../admin/control.ts').Mismatch} Mismatch
 * @typedef {import('../jobs/runner/job.ts').Job} Job
 * @typedef {import('../admin/history.ts').History} History
 * @typedef {import('../admin/history.ts').HistorySample} HistorySample
 */

/**
 * One of the charts over time.
 *
 * @typedef {object} Chart
 * @property {string} id
 * @property {string} title
 * @property {(value: number | null) => string} format
 * @property {boolean} [whole] of things that are counted: no line between 0 and 1
 * @property {{ name: string, label: string, color: string, dash?: number[] }[]} lines `color` is a custom property of the style sheet
 */

export {}
