"""For all tests."""

from __future__ import annotations

import importlib
import pkgutil

import relevo


def pytest_sessionstart() -> None:
    """Import every module now. Hypothesis draws constants from the modules that it finds loaded: one that is loaded in the
    middle of a test, as the program does with what is rarely needed, would make it draw other data than before."""
    for module in pkgutil.walk_packages(relevo.__path__, "relevo."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
