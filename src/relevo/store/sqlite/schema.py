"""The tables of a home, by numbered .sql files. A file that was released never changes: `migrations` holds its checksum.

Why not a kept tool: docs/decisions/010-migrations.md.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

import apsw

from relevo.domain.errors import DamagedError, UserError
from relevo.runtime.failpoints import reach
from relevo.store.contract import NewerHome
from relevo.store.sqlite.connection import APPLICATION_ID, transaction

_FOLDER: Final = os.path.join(os.path.dirname(__file__), "migrations")


def migrations(folder: str = _FOLDER) -> list[tuple[int, str]]:
    """(number, path) of every migration, in order; numbers are gapless from 1."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".sql"))
    found = [(int(name[:4]), os.path.join(folder, name)) for name in names]
    assert [number for number, _ in found] == list(range(1, len(found) + 1)), f"numbers in {folder} have gaps"
    return found


def version_of(connection: apsw.Connection, path: str, known: int) -> int:
    """The schema's number, 0 for an empty file. Raises NewerHome, or UserError when the database is not ours."""
    # One statement, one snapshot: another process may be making the tables just now.
    version, application, tables = connection.execute(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_user_version, pragma_application_id"
    ).get
    if application != APPLICATION_ID:
        if version or application or tables:
            raise UserError(
                f"{path} is not a relevo database", hint="name another RELEVO_HOME, or move that file away"
            )
        return 0
    if version > known:
        raise NewerHome(version, known)
    return int(version)


def migrate(connection: apsw.Connection, path: str, *, only_new: bool = False, folder: str = _FOLDER) -> None:
    """Bring the tables to what this program knows, all steps in one transaction.

    `only_new` makes the tables of an empty file and leaves an older home as it is, because only who holds the lease may
    change it. Raises NewerHome, UserError, DamagedError (an applied migration is not the one this program knows).
    """
    steps = migrations(folder)
    version = version_of(connection, path, len(steps))
    if version == len(steps) or (version and only_new):
        return
    with transaction(connection):
        version = version_of(connection, path, len(steps))  # another process may have been quicker
        if version:
            verify_applied(connection, path, folder)
        for number, file in steps[version:]:
            sql = _read(file)
            connection.execute(sql)
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?, ?, ?)",
                (number, os.path.basename(file), checksum(sql), time.time_ns() // 1_000_000),
            )
            reach("store.in-migration")
        connection.pragma("user_version", len(steps))
        connection.pragma("application_id", APPLICATION_ID)


def verify_applied(connection: apsw.Connection, path: str, folder: str = _FOLDER) -> None:
    """Raises DamagedError when a migration that this home had differs from the one this program knows."""
    known = dict(migrations(folder))
    applied: Any = connection.execute("SELECT number, name, checksum FROM migrations").fetchall()
    for number, name, found in applied:
        if number not in known or checksum(_read(known[number])) != found:
            raise DamagedError(f"migration {name} differs from the one of this program", where=path)


def checksum(sql: str) -> str:
    """What stands in the table `migrations` for a step."""
    from blake3 import blake3

    return blake3(sql.encode()).hexdigest()


def _read(file: str) -> str:
    with open(file, encoding="utf-8") as opened:
        return opened.read()
