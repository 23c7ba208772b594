import { z } from 'zod'
import { UnderstudyError } from '../base/errors.ts'
import { parseInstant } from '../base/instant.ts'
import { type AcknowledgeRequest, MISMATCH_CLASSES } from './control.ts'
import type { Endpoint } from './endpoint.ts'

const MAX_MISMATCHES = 1000

const FILTER = {
  route: z.string().min(1).exactOptional().describe('only of this route'),
  class: z.enum(MISMATCH_CLASSES).exactOptional().describe('only of this class'),
  command: z
    .string()
    .min(1)
    .transform((text) => text.toUpperCase())
    .exactOptional()
    .describe('only of this command'),
  acknowledged: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .exactOptional()
    .describe('only those that are acknowledged, or that are not'),
}

const MISMATCH_QUERY = z.strictObject({
  ...FILTER,
  limit: z.coerce.number().int().min(1).max(MAX_MISMATCHES).default(100).describe('at most so many, the latest first'),
})

const EXPORT_QUERY = z.strictObject(FILTER)

const ACKNOWLEDGE_BODY = z.strictObject({
  mismatch: z
    .number()
    .int()
    .exactOptional()
    .describe('the number of a mismatch: its route, command, class and pattern'),
  route: z.string().min(1).exactOptional().describe('needed without `mismatch`'),
  pattern: z.string().min(1).exactOptional().describe('a key pattern as mismatches show it; without: every key'),
  command: z.string().min(1).exactOptional().describe('without: every command'),
  class: z.enum(MISMATCH_CLASSES).exactOptional().describe('without: every class'),
  until: z
    .string()
    .transform((text, context) => {
      try {
        return parseInstant(text)
      } catch (error) {
        context.addIssue((error as Error).message)
        return z.NEVER
      }
    })
    .exactOptional()
    .describe('a time, or a date, which is its end in UTC (ISO 8601); without: until it is taken back'),
  reason: z.string().trim().min(1).max(500).describe('why it may be ignored'),
})

const MISMATCH_SHAPE =
  '{id, route, command, class, cause, pattern, firstSeen, lastSeen, count, keys, database, key, phase, detail, paths, primary, shadow, acknowledged: {until, reason} or null}'
const ACKNOWLEDGEMENT_SHAPE = '{id, route, pattern, command, class, until, reason, createdAt}'
const RATES_SHAPE = '{"1m": {compared, mismatched, rate}, "10m", "1h"}'

/** What the comparer found, and how the comparison goes. */
export const MISMATCH_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'GET',
    path: '/api/v1/mismatches',
    summary:
      'Confirmed differences, one for each route, command, class, cause and key pattern, the latest first; what is shown of keys and values is of the latest key, values masked unless the route reveals them.',
    gives: `\`[${MISMATCH_SHAPE}]\``,
    query: MISMATCH_QUERY,
    handle: async (control, { query }) => ({
      kind: 'json',
      body: await control.mismatches.list(query as z.infer<typeof MISMATCH_QUERY>),
    }),
  },
  {
    method: 'GET',
    path: '/api/v1/mismatches/export',
    summary: 'Every key that showed a confirmed difference, one JSON object a line, the latest first.',
    gives:
      '`application/x-ndjson`: lines of `{mismatch, route, command, class, cause, database, key, phase, firstSeen, lastSeen, count, detail, paths, primary, shadow}`',
    query: EXPORT_QUERY,
    handle: async (control, { query }) => {
      const keys = await control.mismatches.keys(query as z.infer<typeof EXPORT_QUERY>)
      const body = Array.from(keys, (key) => `${JSON.stringify(key)}\n`).join('')
      return { kind: 'text', contentType: 'application/x-ndjson', body }
    },
  },
  {
    method: 'GET',
    path: '/api/v1/compare',
    summary:
      'How the comparison goes, by route and command: verdicts, mismatch rates over one minute, ten minutes and one hour, dropped samples by reason, and the latency of both roles for the same sampled reads.',
    gives: `\`{routes: {NAME: {phase, sample, rates: ${RATES_SHAPE}, commands: {NAME: {compared, matched, transient, mismatched, acknowledged, ignored, rates}}, skipped: {REASON: count}, repaired, baseline: {compared, differed}, latency: {primary: {bounds, counts, sum}, shadow}}}}\`, \`bounds\` and \`sum\` in seconds`,
    handle: async (control) => ({ kind: 'json', body: await control.comparison() }),
  },
  {
    method: 'GET',
    path: '/api/v1/acknowledgements',
    summary: 'What is known and ignored: of the configuration file (`id` is null) and over HTTP.',
    gives: `\`[${ACKNOWLEDGEMENT_SHAPE}]\``,
    handle: async (control) => ({ kind: 'json', body: await control.mismatches.acknowledgements() }),
  },
  {
    method: 'POST',
    path: '/api/v1/acknowledgements',
    summary:
      'Differences that are known: they go on being recorded, and are no part of a mismatch rate until the given time.',
    gives: `\`${ACKNOWLEDGEMENT_SHAPE}\``,
    body: ACKNOWLEDGE_BODY,
    handle: async (control, { body }) => {
      const request: AcknowledgeRequest = body as z.infer<typeof ACKNOWLEDGE_BODY>
      return { kind: 'json', status: 201, body: await control.mismatches.acknowledge(request) }
    },
  },
  {
    method: 'DELETE',
    path: '/api/v1/acknowledgements/:id',
    summary: 'Takes an acknowledgement back.',
    gives: '`{"revoked": id}`',
    handle: async (control, { params }) => {
      const id = Number(params['id'])
      if (!Number.isSafeInteger(id)) throw new UnderstudyError('NOT_FOUND', 'an acknowledgement has a number')
      await control.mismatches.revoke(id)
      return { kind: 'json', body: { revoked: id } }
    },
  },
]
