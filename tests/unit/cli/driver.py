"""Runs the real command line on a scripted engine: `python driver.py SCENARIO ARGUMENT…` (a process of its own)."""

from __future__ import annotations

import sys

from relevo.cli import connect
from relevo.cli.main import main
from tests.unit.cli import scenarios

scenario = getattr(scenarios, sys.argv[1])
sys.argv[1:] = sys.argv[2:]


def opened(**_: object) -> object:
    return scenario().opened()


connect.engine = opened  # type: ignore[assignment]
connect.client = opened  # type: ignore[assignment]
main()
