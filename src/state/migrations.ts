import { HISTORY_TABLES } from './history-tables.ts'

/** The tables of `state.db`, in steps (`openDatabase`). A capability appends its own; what has been released is never changed. */
export const STATE_MIGRATIONS: readonly string[] = [
  // Jobs, and the keys that they list (see src/jobs/runner/job-store.ts). Times are ms since the epoch.
  `CREATE TABLE jobs (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     kind TEXT NOT NULL,
     route TEXT NOT NULL,
     state TEXT NOT NULL,
     options TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     started_at INTEGER,
     finished_at INTEGER,
     progress TEXT NOT NULL,
     checkpoint TEXT,
     error TEXT,
     report TEXT
   ) STRICT;
   CREATE TABLE job_keys (
     job INTEGER NOT NULL,
     seq INTEGER NOT NULL,
     database INTEGER NOT NULL,
     key BLOB NOT NULL,
     class TEXT NOT NULL,
     detail TEXT NOT NULL,
     PRIMARY KEY (job, seq)
   ) STRICT, WITHOUT ROWID`,
  // Confirmed differences (`compare/mismatch-store.ts`). Times: ms since the epoch.
  `
  CREATE TABLE mismatches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    route TEXT NOT NULL, command TEXT NOT NULL, class TEXT NOT NULL, cause TEXT NOT NULL, pattern TEXT NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, count INTEGER NOT NULL,
    database INTEGER NOT NULL, key TEXT NOT NULL, phase TEXT NOT NULL, detail TEXT NOT NULL, paths TEXT NOT NULL,
    "primary" TEXT NOT NULL, shadow TEXT NOT NULL,
    UNIQUE (route, command, class, cause, pattern)
  );
  CREATE INDEX mismatches_by_time ON mismatches (last_seen);
  CREATE TABLE mismatch_keys (
    mismatch INTEGER NOT NULL REFERENCES mismatches (id) ON DELETE CASCADE,
    database INTEGER NOT NULL, key TEXT NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, count INTEGER NOT NULL,
    phase TEXT NOT NULL, detail TEXT NOT NULL, paths TEXT NOT NULL, "primary" TEXT NOT NULL, shadow TEXT NOT NULL,
    UNIQUE (mismatch, database, key)
  );
  CREATE INDEX mismatch_keys_by_time ON mismatch_keys (last_seen);
  CREATE TABLE acknowledgements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    route TEXT NOT NULL, pattern TEXT, command TEXT, class TEXT, until_ms INTEGER, reason TEXT NOT NULL, created_ms INTEGER NOT NULL
  );
  `,
  HISTORY_TABLES,
  // What is known about the ends of routes (`cutover/completeness.ts`), and what was decided against advice (`cutover/journal.ts`).
  `CREATE TABLE route_mirroring (
     route TEXT PRIMARY KEY,
     ends TEXT NOT NULL,
     since INTEGER NOT NULL,
     incomplete TEXT,
     backfilled_at INTEGER,
     verified_at INTEGER
   ) STRICT;
   CREATE TABLE journal (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     at INTEGER NOT NULL,
     kind TEXT NOT NULL,
     route TEXT NOT NULL,
     detail TEXT NOT NULL
   ) STRICT`,
  // The end that held keys before mirroring towards it began.
  'ALTER TABLE route_mirroring ADD COLUMN held TEXT',
  // A digest of the routes and stores that a job began with.
  'ALTER TABLE jobs ADD COLUMN began_with TEXT',
  // When a job last changed one end alone, ms since the epoch.
  'ALTER TABLE route_mirroring ADD COLUMN altered_at INTEGER',
  // Sentences for the report of a job that is under way, as a JSON list.
  'ALTER TABLE jobs ADD COLUMN remarks TEXT',
]
