"""The embedded event store: one SQLite database in the home.

    schema.py  migrations/*.sql     what the tables are
    connection.py                   how they are opened, what errors mean
    writer.py ─► commit.py          appends of many streams in one commit, fenced by the lease's epoch
    readers.py ─► reading.py        everything that is read, checked against its checksum
    check.py                        `relevo db check`

A full disk or an I/O error refuses the appends of that commit and leaves everything as it was; the next commit is
tried anew. Damaged bytes make one run unreadable, which `damaged()` names.
"""

from relevo.store.sqlite.store import SqliteReader, SqliteStore, open_database, open_reader

__all__ = ["SqliteReader", "SqliteStore", "open_database", "open_reader"]
