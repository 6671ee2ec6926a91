from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relevo.providers.contract import Command
from relevo.providers.process import ProcessProvider, cgroups, trees
from relevo.providers.process.procfs import children

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def bash(text: str, **env: str) -> Command:
    return Command([shutil.which("bash") or "/bin/bash", "-ec", text], {"PATH": PATH, **env}, "/")


def descriptors() -> dict[str, str]:
    """Open descriptors of this process, by what they are."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue  # that of the listing itself
    return found


def own_groups(provider: ProcessProvider) -> list[str]:
    """Control groups of a provider that are there."""
    return [root for root in provider._all_roots() if os.path.exists(root)]


@pytest.fixture(params=trees.MECHANISMS)
def mechanism(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if reason := trees.why_unusable(name, cgroups.discover()):
        pytest.skip(f"{name}: {reason}")
    return name


@pytest.fixture
def state_dir(tmp_path: Path) -> str:
    return str(tmp_path / "state")


@asynccontextmanager
async def fresh_provider(state_dir: str, mechanism: str) -> AsyncIterator[ProcessProvider]:
    """A provider that must leave nothing behind."""
    before = descriptors()
    families = children(os.getpid())
    provider = ProcessProvider(state_dir, mechanism=mechanism)
    yield provider
    left = (
        await provider.recover()
    )  # of this test's own folder: a test that failed leaves nothing behind either
    await provider.close()
    assert left == []
    for attempt in list(provider._named):
        provider.forget(attempt)
    assert children(os.getpid()) == families
    assert descriptors() == before
    assert own_groups(provider) == []
    slots = os.path.join(state_dir, "slots")
    assert not os.path.exists(slots) or os.listdir(slots) == []


@pytest.fixture
async def provider(state_dir: str, mechanism: str) -> AsyncIterator[ProcessProvider]:
    async with fresh_provider(state_dir, mechanism) as provider:
        yield provider
