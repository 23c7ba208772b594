/** The tables of `state.db`, in steps (`openDatabase`). A capability appends its own; what has been released is never changed. */
export const STATE_MIGRATIONS: readonly string[] = [
  // Jobs, and the keys that they list (see src/jobs/job-store.ts). Times are ms since the epoch.
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
]
