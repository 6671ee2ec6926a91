"""The trace of a run as a file."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from relevo.orchestrator.api import UserApi
    from relevo.telemetry.spans import Trace


def must_be_writable(path: str) -> None:
    """Say so before a run begins when its trace could not be written. Raises BadParameter."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise click.BadParameter(f"there is no folder {folder}", param_hint="--trace")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise click.BadParameter(f"{path} cannot be written", param_hint="--trace")


async def collect(api: UserApi, run: str) -> Trace:
    """The trace of a run as far as it has gone."""
    from relevo.telemetry.spans import derive

    events = [event async for event in api.events(run, follow=False)]
    return derive(run, events, time.time_ns() // 1_000_000)


def save(trace: Trace, path: str) -> None:
    """Write it; `-`: to standard output. Raises OSError."""
    from relevo.telemetry import chrome

    if path == "-":
        chrome.write(trace, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with open(path, "wb") as file:
        chrome.write(trace, file)
