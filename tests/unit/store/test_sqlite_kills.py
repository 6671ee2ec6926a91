"""A writer that dies at any place: what it acknowledged is there, and nothing is half there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from relevo.store.sqlite import check
from relevo.testing.contracts.store import append, collect, commit
from tests.unit.store.conftest import SqliteHome

#: Appends to four streams at once, with facts and rows, and tells each acknowledgement in a line of its own.
WRITER = """
    import asyncio, os, sys
    from relevo.store.contract import Append, Fact
    from relevo.store.sqlite import SqliteStore
    from relevo.testing.contracts.store import row

    async def stream(store, loop, name):
        version = 0
        while True:
            done = loop.create_future()
            facts = (Fact(f"outputs/{name}/{version}", b"x" * 50),)
            store.append(Append(name, version, b"e" * 300, 1, 0, row(name, jobs=version), facts), done.set_result)
            stored = await done
            version = stored.version
            os.write(1, f"{name} {version}\\n".encode())

    async def main():
        loop = asyncio.get_running_loop()
        store = await SqliteStore.open(sys.argv[1], 1, loop)
        await asyncio.gather(*(stream(store, loop, name) for name in "abcd"))

    asyncio.run(main())
"""


def killed(home: SqliteHome, failpoint: str, *, lines: int | None = None) -> dict[str, int]:
    """Run the writer until it dies; by stream, the last version it acknowledged."""
    environment = {**os.environ, "RELEVO_FAILPOINTS": failpoint}
    command = [sys.executable, "-c", textwrap.dedent(WRITER), home.path]
    acknowledged: dict[str, int] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout, 1):
            if not line.endswith("\n"):
                break  # it died while it wrote
            name, version = line.split()
            acknowledged[name] = int(version)
            if count == lines:
                process.kill()
    assert process.returncode == -signal.SIGKILL
    return acknowledged


async def verify(home: SqliteHome, acknowledged: dict[str, int]) -> dict[str, int]:
    """Everything that was acknowledged is stored, whole, and the home goes on. By stream, the version stored."""
    store = await home.open(2)
    stored: dict[str, int] = {}
    for name in "abcd":
        appends = await store.read(name)
        stored[name] = len(appends)
        assert len(appends) >= acknowledged.get(name, 0)
        assert len(await store.facts(f"outputs/{name}/")) == len(appends)
        found = await store.run(name)
        assert (found.jobs if found else -1) == len(appends) - 1
        await commit(store, append(name, len(appends)))
    sequences = [s.sequence for s in await collect(store.scan())]
    assert sequences == list(range(1, sum(stored.values()) + 5))
    await store.close()
    assert check.integrity(home.path) == []
    return stored


@pytest.mark.parametrize("nth", [1, 2, 5, 17])
async def test_death_before_a_commit_stores_nothing_of_it(home: SqliteHome, nth: int) -> None:
    acknowledged = killed(home, f"store.before-commit=kill:{nth}")
    stored = await verify(home, acknowledged)
    if nth == 1:
        assert sum(stored.values()) == 0


@pytest.mark.parametrize("nth", [1, 2, 5, 17])
async def test_death_after_a_commit_keeps_what_nobody_was_told(home: SqliteHome, nth: int) -> None:
    acknowledged = killed(home, f"store.after-commit=kill:{nth}")
    stored = await verify(home, acknowledged)
    assert sum(stored.values()) > sum(acknowledged.values())


@pytest.mark.parametrize("lines", [1, 10, 60, 200])
async def test_death_at_any_moment(home: SqliteHome, lines: int) -> None:
    await verify(home, killed(home, "", lines=lines))


async def test_death_in_a_migration_leaves_an_empty_home(home: SqliteHome) -> None:
    assert killed(home, "store.in-migration=kill") == {}
    assert home.execute("SELECT count(*) FROM sqlite_schema") == [(0,)]
    await verify(home, {})
