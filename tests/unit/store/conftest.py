from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from relevo.store.sqlite import SqliteStore


class SqliteHome:
    """A database, and the ways in which its bytes go bad."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    async def open(self, epoch: int = 1) -> SqliteStore:
        return await SqliteStore.open(self.path, epoch, asyncio.get_running_loop())

    async def damage(self, stream: str, version: int) -> None:
        self.execute(
            "UPDATE appends SET events = CAST('wrong' AS BLOB) WHERE stream = ? AND version = ?",
            stream,
            version,
        )

    def execute(self, sql: str, *values: apsw.SQLiteValue) -> list[tuple[apsw.SQLiteValue, ...]]:
        """Behind the store's back."""
        connection = apsw.Connection(self.path)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def flip(self, needle: bytes, *, nth: int = 0) -> None:
        """Turn one bit within `needle`, where it stands in the file."""
        file = Path(self.path)
        content = bytearray(file.read_bytes())
        at = -1
        for _ in range(nth + 1):
            at = content.index(needle, at + 1)
        content[at + len(needle) // 2] ^= 1
        file.write_bytes(content)

    def page_of(self, table: str) -> int:
        """The root page of a table."""
        ((page,),) = self.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", table)
        assert isinstance(page, int)
        return page

    def overwrite_page(self, page: int) -> None:
        """Make nonsense of a page."""
        with open(self.path, "r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xee" * 4096)


@pytest.fixture
def home(tmp_path: Path) -> SqliteHome:
    return SqliteHome(tmp_path / "relevo.db")
