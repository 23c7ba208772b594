import { expect, test } from 'vitest'
import { explainCommand } from '../../src/routing/explain.ts'
import { configOf } from '../support/data-path.ts'

const config = configOf({
  stores: { old: { port: 1 }, far: { port: 2 } },
  routes: [
    {
      name: 'jobs',
      keys: ['job:{id}'],
      source: 'old',
      target: { store: 'old', keys: { 'job:{id}': 'step:{id}' }, channels: { job_events: 'step_events' } },
      phase: 'shadow',
    },
    { name: 'far', keys: ['far:{id}'], source: 'far' },
    { name: 'moved', keys: ['moved:{id}'], source: 'old', target: 'far', phase: 'switched' },
    { name: 'gone', keys: ['gone:{id}'], source: 'old', target: 'far', phase: 'done' },
    { name: 'app', keys: ['app:{id}'], source: { store: 'old', keys: { 'app:{id}': 'other:{id}' } } },
    { name: 'rest', source: 'old' },
  ],
})

test.each([
  ['KEYS *', /asks store 'old': keys get the application's names, and what is not its own is hidden/],
  ['DBSIZE', /asks store 'old': the application’s own keys are counted/],
  ['PUBLISH job_events x', /published at store 'old' on job_events, then at store 'old' on step_events/],
  ['SUBSCRIBE __keyspace@0__:far:1', /listens to __keyspace@0__:far:1 at 'far'/],
  ['PSUBSCRIBE *_events', /listens to \* at 'old', __key\* at 'far'/],
  ['MGET job:1 far:1', /split over stores old and far, and the replies merged/],
  ['BLPOP app:1 0', /keys in its reply, and in its errors, get the application's names back/],
  ['SUNION job:1 far:1', /^CROSSROUTE .*'jobs' on store 'old', 'far' on store 'far'/],
  ['SORT job:1 BY app:*:x GET far:*', /^CROSSROUTE The keys that a pattern of SORT/],
  ['SET step:1 x', /^step:1 is a name that a route gives its keys on store 'old'/],
  ['SET job:1 x', /^$/],
  ['EVAL return(redis.call("GET",ARGV[1])) 1 app:1 x', /^ERR Understudy refuses this script/],
  ['EVAL return(redis.call("GET",ARGV[1])) 1 job:1 x', /^the script uses keys which it does not declare/],
  ['SUNION job:1 job:2', /^$/],
  ['FLUSHALL', /^ERR Understudy refuses FLUSHALL/],
  ['HSCAN job:1 17', /^$/],
  ['HSCAN moved:1 0', /^its cursors say which store gave them/],
  ['SSCAN moved:1 17', /^the cursor is of store 'old', which is asked for the page/],
  ['ZSCAN gone:1 17', /^the cursor is of the store at the other end.*the scan begins anew$/],
])('of %s: %s', (command, expected) => {
  const { refused, notes } = explainCommand(config, command.split(' '))
  expect(refused ?? notes.join('; ')).toMatch(expected)
})

const clustered = configOf({
  stores: { old: { port: 1 }, new: { port: 2, kind: 'cluster' } },
  routes: [
    {
      name: 'carts',
      keys: ['cart:{user}:{n}'],
      source: 'old',
      target: { store: 'new', keys: { 'cart:{user}:{n}': '{{cart:{user}}}:{n}' } },
    },
    { name: 'live', keys: ['live:{id}'], source: 'new' },
    { name: 'rest', source: 'old', target: 'new', phase: 'mirror' },
  ],
})

test.each([
  [
    'SUNIONSTORE x y z',
    /on the cluster 'new' its keys lie in 3 slots, and it is answered CROSSSLOT as soon as that is the primary/,
  ],
  [
    'SUNION live:1 live:2',
    /on the cluster 'new' its keys lie in 2 slots, and it is answered CROSSSLOT: only names with the same/,
  ],
  ['MGET x y', /on the cluster 'new' its keys lie in 2 slots: Understudy sends it slot by slot/],
  ['SUNION cart:7:1 cart:7:2', /^$/],
  ['SUNION cart:7:1 cart:8:1', /lie in 2 slots/],
  ['SUNION {a}:1 {a}:2', /^$/],
])('with a cluster at one end, of %s: %s', (command, expected) => {
  const { refused, notes } = explainCommand(clustered, command.split(' '))
  expect(refused ?? notes.join('; ')).toMatch(expected)
})
