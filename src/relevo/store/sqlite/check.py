"""Checks of a database that need no knowledge of what events mean, and the rewriting of its read model. Blocking."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apsw

from relevo.store.contract import RunRow
from relevo.store.sqlite.rows import run_values
from relevo.store.sqlite.schema import verify
from relevo.store.sqlite.store import connect


def integrity(path: str) -> list[str]:
    """What SQLite itself finds wrong, and migrations that are not ours."""
    connection = connect(path, readonly=True)
    try:
        found: list[Any] = connection.execute("PRAGMA integrity_check(20)").fetchall()
        return [f"{path}: {row[0]}" for row in found if row[0] != "ok"] + [
            f"{path}: {text}" for text in verify(connection)
        ]
    except apsw.Error as error:
        return [f"{path}: {error}"]
    finally:
        connection.close()


def all_streams(path: str) -> list[str]:
    """All streams that have an append."""
    connection = connect(path, readonly=True)
    try:
        found: list[Any] = connection.execute(
            "SELECT DISTINCT stream FROM appends ORDER BY stream"
        ).fetchall()
        return [row[0] for row in found]
    finally:
        connection.close()


def write_rows(path: str, rows: Iterable[RunRow]) -> None:
    """Replace the read model."""
    connection = connect(path)
    try:
        with connection:
            connection.execute("DELETE FROM runs")
            cursor = connection.cursor()
            marks = ", ".join("?" * 14)
            cursor.executemany(f"INSERT INTO runs VALUES ({marks})", (run_values(row) for row in rows))
    finally:
        connection.close()
