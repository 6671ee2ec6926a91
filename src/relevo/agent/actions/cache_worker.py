"""Packing and unpacking of caches, as a process in the attempt's worker: a cancel ends it at once, the job's limits hold for
it, and hundreds of thousands of files leave the agent's loop alone.

It is told what to do by `Order` in the variable RELEVO_CACHE, and answers with one `Answer` as its output. What it wrote
halfway is removed by who asked.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Final

import msgspec
from msgspec import Struct

from relevo.agent.actions import cache_archive, globs

VARIABLE: Final = "RELEVO_CACHE"


class Order(Struct, frozen=True):
    """What is to be done."""

    patterns: str
    workspace: str
    home: str  #: what `~` stands for
    archive: str  #: the file to write, or to lay out
    digest: str = ""  #: given: lay it out, if it is that
    limit_bytes: int = 0  #: of what is written


class Answer(Struct):
    """What came of it. `error`: what went wrong; `damaged`: the archive is of no use to anybody."""

    members: int = 0
    size_bytes: int = 0
    digest: str = ""
    error: str = ""
    damaged: bool = False


def command(order: Order) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment of the process."""
    # The job's own PYTHONHOME and the like are not for this interpreter.
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env[VARIABLE] = msgspec.json.encode(order).decode()
    return [sys.executable, "-P", "-m", __name__], env


def work(order: Order) -> Answer:
    """Do it."""
    patterns = globs.parse(order.patterns, order.workspace, order.home)
    if order.digest:
        return _lay_out(order, patterns)
    try:
        with open(order.archive, "xb") as target:
            packed = cache_archive.pack(patterns, target, limit_bytes=order.limit_bytes)
    except (cache_archive.CacheRefused, OSError) as error:
        return Answer(error=_said(error))
    return Answer(packed.members, packed.size_bytes, packed.digest)


def _lay_out(order: Order, patterns: list[globs.Pattern]) -> Answer:
    try:
        source = open(order.archive, "rb")  # noqa: SIM115  # closed below
    except OSError as error:
        return Answer(error=_said(error), damaged=True)
    with source:
        try:
            cache_archive.check(source, order.digest)
        except (cache_archive.CacheRefused, OSError) as error:
            return Answer(error=_said(error), damaged=True)
        try:
            return Answer(cache_archive.unpack(source, cache_archive.roots(patterns)))
        except (cache_archive.CacheRefused, OSError) as error:
            return Answer(error=_said(error))


def _said(error: Exception) -> str:
    """What went wrong; of a path whose bytes are no text, these bytes as escapes."""
    return os.fsencode(str(error)).decode("utf-8", "backslashreplace")


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    order = msgspec.json.decode(os.environ[VARIABLE], type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(work(order)))


def _leave(number: int, frame: Any) -> None:
    """Leave by an exception, so that what is written halfway goes."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
