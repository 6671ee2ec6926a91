-- One row for each append: the events of one decision. `previous` is the sequence of the stream's append before this
-- one, 0 for the first: a stream is read backwards from its head. An index over (stream, version) would do the same
-- and dirty a page of its own for each stream in a commit (docs/decisions/005-sqlite-group-commit.md has the figures).
CREATE TABLE appends (
    sequence INTEGER PRIMARY KEY,
    previous INTEGER NOT NULL,
    stream   TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    events   BLOB    NOT NULL,
    checksum INTEGER NOT NULL
);

-- Where each stream stands, and the read model of those that are runs. `live` is NULL for a stream that is no run.
CREATE TABLE streams (
    stream     TEXT PRIMARY KEY,
    version    INTEGER NOT NULL,
    head       INTEGER NOT NULL,
    live       INTEGER,
    priority   INTEGER,
    created_ms INTEGER,
    run        BLOB,
    checksum   INTEGER
) WITHOUT ROWID;

-- The order in which an engine that starts takes up what is live.
CREATE INDEX streams_live ON streams (priority DESC, created_ms, stream) WHERE live = 1;

CREATE TABLE facts (
    key      TEXT PRIMARY KEY,
    value    BLOB    NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;

-- Who owns the home. `relevo.leases.local` writes it, every commit of the store reads it. Never change this table:
-- an older and a newer program must agree about it before either knows which of them may go on.
CREATE TABLE leases (
    name   TEXT PRIMARY KEY,
    epoch  INTEGER NOT NULL,
    holder TEXT
) WITHOUT ROWID;

-- `last_deleted`: the highest sequence that a deleted run had. No sequence is given twice.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE migrations (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_ms INTEGER NOT NULL
);
