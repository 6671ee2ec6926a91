"""How a command reaches an engine: the one place of the command line that knows how parts are wired.

engine(…)   become the engine of the home, or speak to the one that lives: for all that changes something
client(…)   read only: from the engine that lives, else from what is stored
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from relevo.assembly.api import EngineApi
    from relevo.cli.maintenance import Checked, Pruned, Retention


def home() -> str:
    """The folder that everything is kept in."""
    from relevo.assembly.home import default_home

    return default_home()


def engine(*, jobs: int | None = None) -> AbstractAsyncContextManager[EngineApi]:
    """An engine that can do everything; `jobs`: how many jobs run at a time, None: as the machine allows."""
    from relevo.assembly.embedded import open_engine

    return open_engine(home(), jobs=jobs)


def client() -> AbstractAsyncContextManager[EngineApi]:
    """A reader of the home. It makes nothing, and starts nothing."""
    from relevo.assembly.embedded import open_client

    return open_client(home())


async def check(*, rebuild: bool) -> Checked:
    """Verify what is stored; `rebuild`: write the read models anew from the events."""
    from relevo.assembly.maintenance import check as checked

    return await checked(home(), rebuild=rebuild)


async def prune(retention: Retention, *, dry_run: bool) -> Pruned:
    """Remove ended runs that retention does not keep, and what only they used."""
    from relevo.assembly.maintenance import prune as pruned

    return await pruned(home(), retention, dry_run=dry_run)


def run(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command on an event loop; returns its exit code."""
    import asyncio

    return asyncio.run(main())
