CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE appends (
    sequence INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX appends_by_stream ON appends (stream, version);
CREATE TABLE facts (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    run TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    workflow TEXT NOT NULL,
    title TEXT NOT NULL,
    event TEXT NOT NULL,
    priority INTEGER NOT NULL,
    live INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    jobs INTEGER NOT NULL,
    jobs_ended INTEGER NOT NULL,
    retried_from TEXT,
    run_attempt INTEGER NOT NULL,
    delivered INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX runs_live ON runs (priority DESC, run) WHERE live;
CREATE TABLE leases (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL, holder TEXT) WITHOUT ROWID;
