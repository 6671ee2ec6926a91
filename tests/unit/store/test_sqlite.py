from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from relevo.store.sqlite import SqliteStore
from relevo.testing.contracts.store import EventStoreContract


class SqliteHome:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    async def open(self, epoch: int) -> SqliteStore:
        return await SqliteStore.open(self.path, epoch, asyncio.get_running_loop())

    async def damage(self, stream: str, version: int) -> None:
        with apsw.Connection(self.path) as connection:
            connection.execute(
                "UPDATE appends SET events = CAST('wrong' AS BLOB) WHERE stream = ? AND version = ?",
                (stream, version),
            )
        connection.close()


class TestSqlite(EventStoreContract):
    @pytest.fixture
    def home(self, tmp_path: Path) -> SqliteHome:
        return SqliteHome(tmp_path / "relevo.db")
