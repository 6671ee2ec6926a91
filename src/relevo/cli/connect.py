"""How a command reaches an engine: the one place of the command line that knows how parts are wired.

engine(…)   become the engine of the home, or speak to the one that lives: for all that changes something
client(…)   read only: from the engine that lives, else from what is stored
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from relevo.orchestrator.api import EngineApi


def home() -> str:
    """The folder that everything is kept in."""
    from relevo.assembly.home import default_home

    return default_home()


def head_start(*, jobs: int | None = None) -> None:
    """Start the agent before anything else is imported: it takes longest."""
    from relevo.assembly.head_start import start
    from relevo.assembly.home import Home

    start(Home(home()), slots=jobs)


def engine(*, jobs: int | None = None) -> AbstractAsyncContextManager[EngineApi]:
    """An engine that can do everything; `jobs`: how many jobs run at a time, None: as the machine allows."""
    from relevo.assembly.relay import open_engine

    return open_engine(home(), jobs=jobs)


def client() -> AbstractAsyncContextManager[EngineApi]:
    """A reader of the home. It makes nothing, and starts nothing."""
    from relevo.assembly.reader import open_reader

    return open_reader(home())


def run(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command on an event loop; returns its exit code."""
    from relevo.runtime.loop import run as run_loop

    return run_loop(main())
