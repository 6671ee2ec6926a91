"""The promises of `relevo.orchestrator.api.UserApi`, as far as all who keep them can: the engine itself, its socket, its HTTP API.

class TestMine(UserApiContract):
    @pytest.fixture
    async def api(self) -> AsyncIterator[UserApi]: ...   # of an engine that runs processes, with a home of its own
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from relevo.domain.errors import UserError
from relevo.orchestrator.api import Submission, UserApi
from relevo.store.contract import RunRow

HELLO = """
name: Hello
on: [push, workflow_dispatch]
jobs:
  one:
    runs-on: ubuntu-latest
    outputs: {said: "${{ steps.say.outputs.said }}"}
    steps:
      - id: say
        run: |
          echo first; echo second
          echo said=done >> $GITHUB_OUTPUT
  two:
    needs: one
    runs-on: ubuntu-latest
    steps:
      - run: printf 'no newline \\377 %s' "${{ needs.one.outputs.said }}"
"""
FAILS = """
on: push
jobs:
  good:
    runs-on: ubuntu-latest
    steps: [{run: echo good}]
  bad:
    runs-on: ubuntu-latest
    steps: [{run: "echo ${{ secrets.TOKEN }}; exit 3"}]
"""
#: Goes on until the file that $GATE names is there.
WAITS = """
on: push
jobs:
  waits:
    runs-on: ubuntu-latest
    steps: [{run: "echo begun; until [ -e $GATE ]; do sleep 0.02; done; echo over"}]
"""
SLEEPS = "on: push\njobs:\n  sleeps:\n    runs-on: ubuntu-latest\n    steps: [{run: exec sleep 600}]\n"


def asked(text: str, directory: Path, **given: Any) -> Submission:
    """A submission of a workflow."""
    return Submission(workflow_path="w.yml", workflow_text=text.encode(), directory=str(directory), **given)


async def followed(api: UserApi, run: str, after: int = 0) -> list[dict[str, Any]]:
    """The events of a run to its end."""
    return [event async for event in api.events(run, after)]


async def written(api: UserApi, run: str, job: str, **given: Any) -> bytes:
    """The log of a job; frames that do not join fail."""
    data = b""
    start = given.get("start", 0)
    async for frame in api.log(run, job, **given):
        assert frame.offset == start + len(data)
        data += bytes(frame.data)
    return data


class UserApiContract:
    """Subclass it, with a fixture `api`."""

    async def test_a_run_is_followed_to_its_end(self, api: UserApi, tmp_path: Path) -> None:
        run = await api.submit(asked(HELLO, tmp_path))
        events = await followed(api, run)
        kinds = [event["event"] for event in events]
        assert kinds[0] == "run.accepted"
        assert kinds[-1] == "run.finished"
        assert [event["status"] for event in events if event["event"] == "job.finished"] == ["succeeded"] * 2
        assert {event["run"] for event in events} == {run}
        sequences = [event["seq"] for event in events]
        assert sequences == sorted(sequences)
        assert json.loads(json.dumps(events)) == events
        again = [event async for event in api.events(run, follow=False)]
        assert again == events == await followed(api, run)
        for after in sorted({*sequences, 0, sequences[-1] + 5}):
            wanted = [event for event in events if event["seq"] > after]
            assert await followed(api, run, after) == wanted

    async def test_logs_are_the_exact_bytes(self, api: UserApi, tmp_path: Path) -> None:
        run = await api.submit(asked(HELLO, tmp_path))
        await followed(api, run)
        assert await written(api, run, "one") == b"first\nsecond\n"
        whole = b"no newline \xff done"
        assert await written(api, run, "two", follow=True) == whole
        for start in range(len(whole) + 2):
            assert await written(api, run, "two", start=start, attempt=1) == whole[start:]
        frames = [frame async for frame in api.log(run, "two")]
        assert {frame.step for frame in frames} == {0}
        assert all(frame.at_ms > 0 for frame in frames)

    async def test_what_runs_is_seen_live(self, api: UserApi, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        run = await api.submit(asked(WAITS, tmp_path, env={"GATE": str(gate)}))
        data = b""
        async for event in api.events(run):
            if event["event"] == "job.running":
                async for frame in api.log(run, "waits", attempt=event["attempt"], follow=True):
                    data += bytes(frame.data)
                    if data == b"begun\n":
                        assert (await api.find(run)).live
                        assert [row.run for row in await api.runs(live=True)] == [run]
                        gate.touch()
        assert data == b"begun\nover\n"
        assert await api.runs(live=True) == []

    async def test_the_same_key_is_the_same_run(self, api: UserApi, tmp_path: Path) -> None:
        submission = asked(HELLO, tmp_path, idempotency_key="once")
        run = await api.submit(submission)
        await followed(api, run)
        assert await api.submit(submission) == run
        again = await api.retry(run, idempotency_key="again")
        assert again != run
        await followed(api, again)
        assert await api.retry(run, idempotency_key="again") == again
        with pytest.raises(UserError, match="was used to ask for something else"):
            await api.submit(asked(HELLO, tmp_path, idempotency_key="once", env={"A": "b"}))
        with pytest.raises(UserError, match="was used to ask for something else"):
            await api.retry(again, idempotency_key="again")
        assert [row.run for row in await api.runs()] == [again, run]
        assert (await api.find(again)).retried_from == run

    async def test_runs_are_found_and_listed(self, api: UserApi, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="there is no run yet"):
            await api.find("latest")
        runs: list[str] = []
        for _ in range(3):
            runs.insert(0, await api.submit(asked(HELLO, tmp_path)))
            await followed(api, runs[0])
        rows = await api.runs()
        assert [row.run for row in rows] == runs
        assert all(isinstance(row, RunRow) for row in rows)
        assert [row.run for row in await api.runs(limit=2)] == runs[:2]
        assert [row.run for row in await api.runs(live=False)] == runs
        assert await api.find("latest") == await api.find("") == await api.find(runs[0]) == rows[0]
        assert (await api.find(runs[2][:-1])).run == runs[2]
        with pytest.raises(UserError, match="is the beginning of 3 runs") as several:
            await api.find(runs[0][:2])
        assert several.value.hint is not None
        with pytest.raises(UserError, match="there is no run nobody") as unknown:
            await api.find("nobody")
        assert unknown.value.hint == "relevo runs lists them"

    async def test_a_summary_is_received_once(self, api: UserApi, tmp_path: Path) -> None:
        run = await api.submit(asked(HELLO, tmp_path))
        await followed(api, run)
        assert not (await api.find(run)).delivered
        await api.delivered(run)
        await api.delivered(run)
        assert (await api.find(run)).delivered

    async def test_a_run_is_cancelled(self, api: UserApi, tmp_path: Path) -> None:
        run = await api.submit(asked(SLEEPS, tmp_path))
        async for event in api.events(run):
            if event["event"] == "step.started":
                await api.cancel(run)
        assert (await api.find(run)).status == "cancelled"
        await api.cancel(run)
        await api.cancel(run, force=True)
        with pytest.raises(UserError, match="there is no run nobody"):
            await api.cancel("nobody")

    async def test_what_failed_is_retried(self, api: UserApi, tmp_path: Path) -> None:
        run = await api.submit(asked(FAILS, tmp_path, secrets={"TOKEN": "hidden-value"}))
        assert (await followed(api, run))[-1]["status"] == "failed"
        log = await written(api, run, "bad")
        assert b"***" in log
        assert b"hidden-value" not in log
        with pytest.raises(UserError, match="secrets that are not kept") as missing:
            await api.retry(run, failed=True)
        assert missing.value.hint == "give them again: --secret TOKEN"
        again = await api.retry(run, failed=True, secrets={"TOKEN": "hidden-value"})
        jobs = [event for event in await followed(api, again) if event["event"] == "job.finished"]
        assert sorted((event["job"], event["status"]) for event in jobs) == [
            ("bad", "failed"),
            ("good", "succeeded"),
        ]
        one = await api.submit(asked(HELLO, tmp_path))
        await followed(api, one)
        with pytest.raises(UserError, match=r"nothing of run .* failed"):
            await api.retry(one, failed=True)

    async def test_what_cannot_be_is_refused(self, api: UserApi, tmp_path: Path) -> None:
        wrong = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    stepz: []\n"
        with pytest.raises(UserError, match=r"w\.yml:5:5: unknown key 'stepz'"):
            await api.submit(asked(wrong, tmp_path))
        with pytest.raises(UserError, match="does not start on 'release'"):
            await api.submit(asked(HELLO, tmp_path, event="release"))
        with pytest.raises(UserError, match="runs on windows-latest") as elsewhere:
            await api.submit(asked(HELLO.replace("ubuntu", "windows"), tmp_path))
        assert elsewhere.value.hint is not None
        assert await api.runs() == []
        run = await api.submit(asked(HELLO, tmp_path))
        await followed(api, run)
        with pytest.raises(UserError, match="has no job 'nobody'") as job:
            await written(api, run, "nobody")
        assert job.value.hint == "its jobs: one, two"
        with pytest.raises(UserError, match="has no attempt 7"):
            await written(api, run, "one", attempt=7)
        with pytest.raises(UserError, match=f"run {run} has ended"):
            await api.fail(run, job="one")
        with pytest.raises(UserError, match="there is no run nobody"):
            await api.retry("nobody")
        for stream in (api.events("nobody"), api.log("nobody", "one")):
            with pytest.raises(UserError, match="there is no run nobody"):
                await anext(stream)

    async def test_why_jobs_wait(self, api: UserApi, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        text = WAITS + "  after:\n    needs: waits\n    runs-on: ubuntu-latest\n    steps: [{run: 'true'}]\n"
        run = await api.submit(asked(text, tmp_path, env={"GATE": str(gate)}))
        async for event in api.events(run):
            if event["event"] == "step.started":
                break
        [wait] = await api.why(run)
        assert (wait.job, wait.kind, wait.reason) == ("after", "needs", "waits until 'waits' has ended")
        [asked_for] = await api.why(run, "waits")
        assert asked_for.reason == "does not wait: it is at work at agent 'local'"
        with pytest.raises(UserError, match="has no job 'other'"):
            await api.why(run, "other")
        gate.touch()
        await followed(api, run)
        assert await api.why(run) == []

    async def test_a_drained_agent_takes_nothing_new(self, api: UserApi, tmp_path: Path) -> None:
        await api.drain("local", reason="")
        await api.drain("local", reason=" new\nkernel ")
        run = await api.submit(asked(HELLO, tmp_path))
        for _ in range(6_000):  # the agent has yet to connect
            [wait] = await api.why(run, "one")
            if wait.kind == "drained":
                break
            await asyncio.sleep(0.01)
        assert wait.reason == (
            "waits for an agent that takes it: agent 'local' is drained (new kernel): it takes nothing new; "
            "relevo undrain local lets it take jobs again"
        )
        await api.undrain("local")
        assert (await followed(api, run))[-1]["status"] == "succeeded"
        await api.undrain("local")
        with pytest.raises(UserError, match="there is no agent 'nobody'") as unknown:
            await api.drain("nobody")
        assert unknown.value.hint == "there are: local"
        with pytest.raises(UserError, match="there is no agent 'nobody'"):
            await api.undrain("nobody")
        with pytest.raises(UserError):
            await api.drain("local", reason="x" * 201)

    async def test_the_engine_tells_of_itself(self, api: UserApi) -> None:
        told = await api.ping()
        assert told["live"] == 0
        assert isinstance(told["version"], str)
        assert any(actor["path"] for actor in await api.actors())
        assert (await api.metrics()).endswith("# EOF\n")
