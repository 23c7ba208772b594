/** Step of `STATE_MIGRATIONS`: the main series over time, and the switches. Times are ms since the epoch. */
export const HISTORY_TABLES = `
  CREATE TABLE history (
    step_ms INTEGER NOT NULL,
    route TEXT NOT NULL,
    at INTEGER NOT NULL,
    point TEXT NOT NULL,
    PRIMARY KEY (step_ms, route, at)
  ) WITHOUT ROWID;
  CREATE TABLE history_switches (
    at INTEGER NOT NULL,
    route TEXT NOT NULL,
    from_phase TEXT NOT NULL,
    to_phase TEXT NOT NULL,
    pause_ms REAL NOT NULL
  );
  CREATE INDEX history_switches_at ON history_switches (at);
`
