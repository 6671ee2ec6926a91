"""The schema, as numbered SQL files, each applied once and remembered with its checksum.

No migration tool: those that are kept well import an ORM (300 ms), and two dialects' plain SQL needs none of it.
"""

from __future__ import annotations

import os
from typing import Any, Final
from zlib import crc32

from relevo.domain.errors import DamagedError
from relevo.runtime.failpoints import reach
from relevo.store.contract import NewerHome

_FOLDER: Final = os.path.join(os.path.dirname(__file__), "migrations")


def migrations() -> list[tuple[int, str, str]]:
    """(number, name, SQL) of all that this program knows, in order."""
    found = []
    for name in sorted(os.listdir(_FOLDER)):
        if name.endswith(".sql"):
            with open(os.path.join(_FOLDER, name), encoding="utf-8") as file:
                found.append((int(name.split("_")[0]), name, file.read()))
    return found


def migrate(connection: Any) -> None:
    """Bring a database up to date, in one transaction. Raises NewerHome, or DamagedError when its history is not ours."""
    known = migrations()
    newest = known[-1][0]
    found = connection.execute("PRAGMA user_version").fetchall()[0][0]
    if found > newest:
        raise NewerHome(found, newest)
    if found == newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.execute("PRAGMA user_version").fetchall()[0][0]
        if found < newest:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, crc INTEGER NOT NULL)",
            )
            for number, name, sql in known:
                if number > found:
                    connection.execute(sql)
                    reach("store.in-migration")
                    row = (number, name, crc32(sql.encode()))
                    connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", row)
            connection.execute(f"PRAGMA user_version = {newest}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def verify(connection: Any) -> list[str]:
    """What is wrong with the applied migrations: edited after they were applied, or unknown."""
    known = {number: (name, crc32(sql.encode())) for number, name, sql in migrations()}
    wrong = []
    for number, name, crc in connection.execute("SELECT number, name, crc FROM migrations"):
        if number not in known:
            wrong.append(f"migration {number} ({name}) is unknown to this program")
        elif known[number][1] != crc:
            wrong.append(f"migration {number} ({name}) is not what was applied")
    return wrong


def damaged(path: str, error: Exception) -> DamagedError:
    """A database that SQLite itself finds broken."""
    return DamagedError(f"the database is damaged: {error}", where=path)
