"""The event store on SQLite (apsw carries a current one): WAL, synchronous=FULL, one writer, a few readers."""

from relevo.store.sqlite.store import SqliteStore, open_database, open_reader

__all__ = ["SqliteStore", "open_database", "open_reader"]
