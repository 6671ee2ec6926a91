"""A home on file systems that fill up quickly: one for each place where a full disk is to be met. Needs root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from relevo.testing.small_disk import small_disk
from tests.faults.world import World

SMALL_BYTES: Final = 12 << 20
ROOMY_BYTES: Final = 64 << 20
#: Folder of the home by what lies there. The rest of the home, with the database, is the home's own.
FOLDERS: Final = {"logs": "logs", "spool": "agents", "blobs": "blobs"}


@contextmanager
def small_home(world: World, place: str) -> Iterator[Path]:
    """The folder of a world's home that has little room: `store`, `logs`, `spool`, `blobs`, or `all` of it."""
    with ExitStack() as mounted:

        def mount(folder: Path, *, small: bool) -> Path:
            return mounted.enter_context(small_disk(folder, SMALL_BYTES if small else ROOMY_BYTES))

        home = mount(world.home, small=place in ("store", "all"))
        if place == "all":
            yield home  # relevo makes its folders itself
            return
        folders = {name: mount(home / folder, small=name == place) for name, folder in FOLDERS.items()}
        yield folders.get(place, home)
