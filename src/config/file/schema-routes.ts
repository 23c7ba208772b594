import { z } from 'zod'
import { DECODERS, MISMATCH_CLASSES, PHASES } from '../config.ts'
import { KeyPattern } from '../patterns/pattern.ts'
import { duration, flag, instant, name, parsed, share, size } from './schema-types.ts'

/** What may stand under `routes` in the configuration file, as `schema.ts` says it of the rest. */

const pattern = parsed((text) => {
  KeyPattern.parse(text)
  return text
})

export const EndFile = z.strictObject({
  store: name.describe('One of `stores`.'),
  keys: z
    .record(z.string(), pattern)
    .prefault({})
    .describe(
      "The application's key pattern -> the pattern of its names here. What is not named keeps its name. Every capture is used exactly once.",
    ),
  channels: z
    .record(z.string(), pattern)
    .prefault({})
    .describe(
      "The application's pub/sub channel -> its name here, with the patterns of keys. A channel that is named takes the route: while both ends are in use, messages are published at both.",
    ),
})

const MirrorFile = z.strictObject({
  mode: z
    .enum(['async', 'sync'])
    .prefault('async')
    .describe(
      '`async`: the client never waits for the shadow. `sync`: its reply waits for the shadow, at most `timeout`.',
    ),
  backlog: size
    .prefault('64mb')
    .describe('What may wait for the shadow; beyond it, keys are marked dirty and copied later.'),
  timeout: duration.prefault('100ms').describe('`sync` only: how long a reply waits.'),
  onShadowError: z
    .enum(['ignore', 'fail'])
    .prefault('ignore')
    .describe('`sync` only: whether the client learns that the shadow failed.'),
})

const AcknowledgeFile = z.strictObject({
  pattern: z
    .string()
    .min(1)
    .optional()
    .describe(
      'The key pattern as `understudy mismatches` shows it, as in `user:<n>`. Default: every key of the route.',
    ),
  command: z
    .string()
    .min(1)
    .transform((text) => text.toUpperCase())
    .optional()
    .describe('Only differences of this command.'),
  class: z.enum(MISMATCH_CLASSES).optional().describe('Only differences of this class.'),
  until: instant.optional().describe('A date or a point in time, as in `2027-01-31`. Default: for ever.'),
  reason: z.string().min(1).describe('Why it may be ignored; shown beside it.'),
})

const CompareFile = z.strictObject({
  sample: share
    .prefault(0)
    .describe('Share of keys whose reads are compared. 1% is a part of 5%: the same keys on every instance.'),
  ttlTolerance: duration
    .prefault('2s')
    .describe(
      'Times to live that differ by less are equal. What is gone on one side only is forgiven within 2 s before its end at most, whatever stands here.',
    ),
  ignore: z
    .strictObject({
      json: z
        .array(z.string().regex(/^\$[.[]/, { error: 'a path into JSON begins with "$.", as in "$.updatedAt"' }))
        .prefault([])
        .describe('Paths that are left out of JSON values, as in `$.updatedAt`.'),
    })
    .prefault({})
    .describe('What does not count as a difference.'),
  always: z.array(pattern).prefault([]).describe('Key patterns that are compared whatever `sample` says.'),
  never: z.array(pattern).prefault([]).describe('Key patterns that are never compared.'),
  reveal: z
    .enum(['masked', 'values'])
    .prefault('masked')
    .describe('Whether recorded mismatches show values, or only their type, length and hash.'),
  repair: flag
    .prefault(false)
    .describe(
      '`true`: a confirmed mismatch makes the key dirty, so that it is copied again; not where the primary has no such key, which may have lost it (`repair --delete-extra` deletes it), not while the route needs a verify for the cause `primary-restarted`, `failed-over` or `turned`, nor behind a switch that was forced before a backfill (`incompleteEnd` in `status` is the primary), for then the primary may be the side that lacks something.',
    ),
  decode: z
    .array(z.enum(DECODERS))
    .prefault([])
    .describe(
      'How values are read before they are compared: `json` (numbers as numbers, names in any order), `gzip` (what is inside), `msgpack`. `ignore.json` implies `json`.',
    ),
  baseline: flag
    .prefault(false)
    .describe(
      '`true`: the primary is compared with itself instead of with the shadow, to see how much of a mismatch rate is noise.',
    ),
  acknowledge: z
    .array(AcknowledgeFile)
    .prefault([])
    .describe('Differences that are known: recorded, and no part of a mismatch rate.'),
})

export const RouteFile = z.strictObject({
  name: name.describe('Appears in metrics, in `status`, and in `UNDERSTUDY_PHASE_<NAME>`.'),
  keys: z
    .array(pattern)
    .min(1, { error: 'a route needs at least one pattern; write ["*"] for every key' })
    .describe(
      'Patterns of the keys that take this route. The most specific pattern of all routes wins, whatever the order.',
    ),
  source: z
    .union([name, EndFile])
    .describe('Where the data is at the start: `{ store: NAME, keys, channels }`, or just the name of a store.'),
  target: z
    .union([name, EndFile])
    .optional()
    .describe('Where the data shall go. Needed in every phase but `passthrough`.'),
  phase: z.enum(PHASES).prefault('passthrough').describe('The one switch of a migration.'),
  mirror: MirrorFile.prefault({}).describe('How writes reach the other store.'),
  compare: CompareFile.prefault({}).describe('How reads are compared.'),
  readTimeout: duration
    .prefault('200ms')
    .describe(
      '`read-target`: how long the target may take before the source answers. In any phase: how long the shadow may take for a page of a scan that began there.',
    ),
  scripts: z
    .enum(['copy', 'warn', 'refuse'])
    .prefault('copy')
    .describe(
      'What becomes of a script or function that uses keys which it does not declare as `KEYS`, where keys have other names or are on several stores. `copy`: while the primary knows keys by the application’s names it passes, is reported, and what it wrote is copied to the shadow: its `KEYS`, and what the primary tells of other keys; the route needs a verify where the primary does not tell. Where the primary has other names it is answered with an error, and a switch to such a primary is refused. `warn`: it passes and is reported, for it is said to touch, beside the keys that it declares, no key of another route and none that has another name at a store; where the primary does not tell, its own route needs a verify all the same, and no other one. `refuse`: it is answered with an error. Known by reading the script, or the library that the store has.',
    ),
})
