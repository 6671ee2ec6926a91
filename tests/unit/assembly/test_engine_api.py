"""The engine itself, and its socket, keep what `EngineApi` promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relevo.assembly.client import connect
from relevo.assembly.embedded import Embedded, open_engine
from relevo.assembly.home import Home
from relevo.domain.errors import UserError
from relevo.orchestrator.api import EngineApi
from relevo.testing.contracts.engine_api import WAITS, EngineApiContract, asked


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


async def test_why_jobs_wait_is_the_same_from_within_and_over_the_socket(
    embedded: Embedded, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    text = WAITS + "  after:\n    needs: waits\n    runs-on: ubuntu-latest\n    steps: [{run: 'true'}]\n"
    run = await embedded.api.submit(asked(text, tmp_path, env={"GATE": str(gate)}))
    async for event in embedded.api.events(run):
        if event["event"] == "step.started":
            break
    client = await connect(embedded.home.socket, asyncio.get_running_loop())
    assert client is not None
    for api in (embedded.api, client):
        [wait] = await api.why(run)
        assert (wait.job, wait.kind, wait.reason) == ("after", "needs", "waits until 'waits' has ended")
        [asked_for] = await api.why(run, "waits")
        assert (asked_for.kind, asked_for.reason) == ("", "does not wait: it is at work at agent 'local'")
        with pytest.raises(UserError, match="has no job 'other'"):
            await api.why(run, "other")
    gate.touch()
    async for _ in embedded.api.events(run):
        pass
    assert await client.why(run) == []
    client.close()
