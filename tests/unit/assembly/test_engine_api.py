"""The engine itself, and its socket, keep what `EngineApi` promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relevo.assembly.client import connect
from relevo.assembly.embedded import Embedded, open_engine
from relevo.assembly.home import Home
from relevo.orchestrator.api import EngineApi
from relevo.testing.contracts.engine_api import EngineApiContract


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Embedded]:
    engine = await open_engine(Home(str(tmp_path / "relevo")), slots=2)
    try:
        yield engine
    finally:
        await engine.close()


class TestLocalApi(EngineApiContract):
    @pytest.fixture
    async def api(self, embedded: Embedded) -> EngineApi:
        return embedded.api


class TestClient(EngineApiContract):
    @pytest.fixture
    async def api(self, embedded: Embedded) -> AsyncIterator[EngineApi]:
        client = await connect(embedded.home.socket, asyncio.get_running_loop())
        assert client is not None
        yield client
        client.close()
