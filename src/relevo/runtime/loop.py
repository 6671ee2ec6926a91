"""The event loop: uvloop where it is installed and worth its import, asyncio else."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program's main coroutine."""
    gc.freeze()
    return asyncio.run(main)
