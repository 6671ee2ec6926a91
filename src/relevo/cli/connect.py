"""How a command reaches an engine: the one place of the command line that knows how parts are wired.

engine(…)   become the engine of the home, or speak to the one that lives: for all that changes something
client(…)   read only: from the engine that lives, else from what is stored
remote(…)   the server that RELEVO_SERVER names, which both of these are then
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import ModuleType

    from relevo.orchestrator.api import UserApi


def home() -> str:
    """The folder that everything is kept in."""
    from relevo.assembly.home import default_home

    return default_home()


def head_start(*, jobs: int | None = None) -> None:
    """Start the agent before anything else is imported: it takes longest."""
    from relevo.assembly.head_start import start
    from relevo.assembly.home import Home

    start(Home(home()), slots=jobs)


def engine(*, jobs: int | None = None) -> AbstractAsyncContextManager[UserApi]:
    """An engine that can do everything; `jobs`: how many jobs run at a time, None: as the machine allows."""
    if (address := server()) is not None:
        if jobs is not None:
            from relevo.domain.errors import UserError

            raise UserError(
                f"how many jobs run at a time is decided at {address}, not here",
                hint="leave out --jobs; relevo up has it",
            )
        return _told_by_environment(address)
    from relevo.assembly.relay import open_engine

    return open_engine(home(), jobs=jobs)


def client() -> AbstractAsyncContextManager[UserApi]:
    """A reader of the home. It makes nothing, and starts nothing."""
    if (address := server()) is not None:
        return _told_by_environment(address)
    from relevo.assembly.reader import open_reader

    return open_reader(home())


def server() -> str | None:
    """The server that all is asked of, as RELEVO_SERVER names it; None: the engine of the home."""
    return os.environ.get("RELEVO_SERVER", "").strip() or None


def logins() -> ModuleType:
    """What knows addresses and tokens of servers."""
    from relevo.assembly.remote import logins

    return logins


def remote(address: str, token: str | None) -> AbstractAsyncContextManager[UserApi]:
    """The engine behind a server; `address` is normal. Tells once when what is sent there can be read on the way."""
    from relevo.assembly.remote.api import open_remote

    if address.startswith("http:") and not logins().is_loopback(address):
        from relevo.cli.output import note

        if address not in _warned:
            _warned.add(address)
            note(
                f"relevo: {address} is not encrypted: whoever is on the way can read the token and secrets\n"
                "  https:// is, or a tunnel: ssh -L 7878:127.0.0.1:7878 HOST"
            )
    return open_remote(address, token, _uploading)


#: What takes longer than people wait without a word, also on a slow line.
_MUCH_BYTES = 4_000_000


def _uploading(size_bytes: int) -> None:
    if size_bytes >= _MUCH_BYTES and sys.stderr.isatty():
        from relevo.cli.output import note
        from relevo.cli.text import size

        note(f"relevo: uploading {size(size_bytes)} of the working tree")


#: Servers that was told of that the way to them is open.
_warned: set[str] = set()


def _told_by_environment(given: str) -> AbstractAsyncContextManager[UserApi]:
    known = logins()
    address = known.normal(given)
    return remote(address, known.token_for(address))


def run(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command on an event loop; returns its exit code."""
    from relevo.runtime.loop import run as run_loop

    return run_loop(main())
