"""The engine itself, and its socket, keep what `UserApi` promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relevo.assembly.client import connect
from relevo.assembly.embedded import Embedded, open_engine
from relevo.assembly.home import Home
from relevo.orchestrator.api import UserApi
from relevo.testing.contracts.user_api import UserApiContract


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Embedded]:
    engine = await open_engine(Home(str(tmp_path / "relevo")), slots=2)
    try:
        yield engine
    finally:
        await engine.close()


class TestLocalApi(UserApiContract):
    @pytest.fixture
    async def api(self, embedded: Embedded) -> UserApi:
        return embedded.api


class TestClient(UserApiContract):
    @pytest.fixture
    async def api(self, embedded: Embedded) -> AsyncIterator[UserApi]:
        client = await connect(embedded.home.socket, asyncio.get_running_loop())
        assert client is not None
        yield client
        client.close()
