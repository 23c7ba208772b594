/** The shapes that the page works with, all of them as `/api/v1` gives them. It is checked against them, and does not load them. */
export type { Mismatch, PhaseResult, RouteView } from '../admin/control.ts'
export type { History, HistorySample } from '../admin/history.ts'
export type { RouteStatus, Status } from '../admin/status.ts'
export type { Phase } from '../config/config.ts'
export type { Job } from '../jobs/job.ts'
