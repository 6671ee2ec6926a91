"""For all tests."""

from __future__ import annotations

import importlib
import pkgutil
import signal

import pytest
from hypothesis import settings

import relevo

# An example may take as long as the machine lets it, and the same ones are tried each time: a submission is not to fail for
# what others left unfound. `--hypothesis-profile default` tries others.
settings.load_profile("ci")


def pytest_sessionstart() -> None:
    """Import every module now. Hypothesis draws constants from the modules that it finds loaded: one that is loaded in the
    middle of a test, as the program does with what is rarely needed, would make it draw other data than before."""
    for module in pkgutil.walk_packages(relevo.__path__, "relevo."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Under nohup a hang-up is ignored, and by all that is started from here: a command would stay where tests have its
    terminal close. Instead it is handled, which nobody inherits; by now the workers of xdist have been started."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
