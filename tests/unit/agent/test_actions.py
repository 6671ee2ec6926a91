"""What native actions are given. Over the dummy provider and, where they run processes, over real ones."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from relevo.agent.actions import contract
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.providers.dummy import DummyProvider
from relevo.providers.process import ProcessProvider

from .harness import Job, RecordingReporter, at_once, attempt, run
from .virtual import VirtualClock, run_virtual

Main = Callable[[ActionContext], Any]
Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    def installed(name: str, main: Main, post: Main | None = None) -> None:
        module = ModuleType(f"tests_action_{name}")
        module.main = main  # type: ignore[attr-defined]
        if post is not None:
            module.post = post  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(contract.NATIVE_ACTIONS, f"test/{name}", module.__name__)

    return installed


@pytest.fixture
async def dummy() -> DummyProvider:
    return DummyProvider(asyncio.get_running_loop())


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[ProcessProvider]:
    provider = ProcessProvider(str(tmp_path / "state"))
    yield provider
    await provider.close()


def use(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"uses": f"test/{name}@v1", **fields}


async def test_what_an_action_sees_and_sets(install: Install, dummy: DummyProvider, tmp_path: Path) -> None:
    async def main(ctx: ActionContext) -> None:
        assert ctx.inputs == {"path": "a b", "fetch-depth": "1", "clean": "true", "empty": ""}
        assert ctx.input("Fetch-Depth") == "1"
        assert ctx.input("empty", "default") == ctx.input("absent", "default") == "default"
        assert ctx.flag("clean", False) is True
        assert ctx.flag("absent", True) is True
        with pytest.raises(ActionFailed, match="true or false"):
            ctx.flag("path", True)
        assert os.listdir(ctx.workspace) == []
        assert ctx.github["repository"] == "me/it"
        assert ctx.env["A"] == "job"
        assert (ctx.job, ctx.attempt) == (0, 1)
        assert await ctx.blocking(max, 1, 2) == 2
        ctx.log("::error::plain text")
        ctx.warn("careful")
        ctx.set_output("out", "value")
        ctx.set_env("B", "set")
        ctx.mask("hidden")
        ctx.log("is hidden")
        with pytest.raises(ActionFailed):
            ctx.set_env("NODE_OPTIONS", "x")

    install("one", main)
    ended = await run(
        Job(
            [
                use(
                    "one",
                    id="a",
                    with_={"Path": " a b\n", "fetch-depth": 1, "clean": "${{ 1 == 1 }}", "empty": None},
                ),
                "print ${{ steps.a.outputs.out }} ${{ env.B }} hidden",
            ],
            env={"A": "job"},
        ),
        dummy,
        str(tmp_path),
    )
    assert ended.outcomes == ["success", "success"], ended.steps
    assert ended.raw == b"::error::plain text\nWarning: careful\nis ***\nvalue set ***\n"
    assert ended.annotations == [(0, "warning", "careful")]
    assert ended.steps[0].name == "Run test/one@v1"


async def test_an_action_that_fails(install: Install, dummy: DummyProvider, tmp_path: Path) -> None:
    async def main(ctx: ActionContext) -> None:
        raise ActionFailed("no geheim today")

    install("one", main)
    ended = await run(Job([use("one"), "print no"], secrets={"S": "geheim"}), dummy, str(tmp_path))
    assert ended.outcomes == ["failure", "skipped"]
    assert ended.steps[0].message == "no *** today"
    assert ended.annotations == [(0, "error", "no *** today")]
    assert ended.raw == b"Error: no *** today\n"


async def test_a_defect_of_an_action_is_named(install: Install, dummy: DummyProvider, tmp_path: Path) -> None:
    async def main(ctx: ActionContext) -> None:
        raise ZeroDivisionError

    install("one", main)
    ended = await run(Job([use("one")]), dummy, str(tmp_path))
    assert "a defect in relevo's own test/one@v1: ZeroDivisionError()" in ended.steps[0].message
    assert "Traceback" in ended.log_of(0)


async def test_a_blob_that_is_refused_fails_the_step(
    install: Install, dummy: DummyProvider, tmp_path: Path
) -> None:
    async def main(ctx: ActionContext) -> None:
        async for _ in ctx.reporter.get_blob("artifact:run/none"):
            pass

    install("one", main)
    ended = await run(Job([use("one")]), dummy, str(tmp_path))
    assert (ended.result, ended.steps[0].message) == ("failed", "there is no artifact:run/none")


async def test_posts_run_in_reverse_order_whatever_happened(
    install: Install, dummy: DummyProvider, tmp_path: Path
) -> None:
    order: list[str] = []

    def actions(name: str) -> None:
        async def main(ctx: ActionContext) -> None:
            ctx.register_post()
            ctx.save_state("mine", name)
            if name == "two":
                raise ActionFailed("no")

        async def post(ctx: ActionContext) -> None:
            order.append(f"{name} {ctx.state['mine']} {ctx.input('with')}")
            ctx.log(f"post {name}")

        install(name, main, post)

    actions("one")
    actions("two")
    actions("three")
    ended = await run(
        Job([use("one", with_={"with": "1"}), use("two", name="Second"), use("three")]), dummy, str(tmp_path)
    )
    assert order == ["two two ", "one one 1"]
    assert ended.outcomes == ["success", "failure", "skipped", "success", "success"]
    assert [ended.steps[index].name for index in (3, 4)] == ["Post Second", "Post Run test/one@v1"]
    assert ended.log_of(4) == "post one\n"


async def test_a_post_that_fails_fails_the_job(
    install: Install, dummy: DummyProvider, tmp_path: Path
) -> None:
    async def main(ctx: ActionContext) -> None:
        ctx.register_post()

    async def post(ctx: ActionContext) -> None:
        raise ActionFailed("late")

    install("one", main, post)
    ended = await run(Job([use("one")]), dummy, str(tmp_path))
    assert (ended.result, ended.outcomes) == ("failed", ["success", "failure"])


def test_an_action_is_cancelled_and_always_steps_run(install: Install, tmp_path: Path) -> None:
    cleaned: list[str] = []

    async def main(ctx: ActionContext) -> None:
        ctx.register_post()
        try:
            await asyncio.sleep(1_000)
        finally:
            cleaned.append("yes")

    async def post(ctx: ActionContext) -> None:
        cleaned.append("post")

    install("one", main, post)

    async def go(reason: dict[str, Any]) -> tuple[RecordingReporter, float]:
        loop = asyncio.get_running_loop()
        reporter = RecordingReporter()
        one = attempt(
            Job([use("one", **reason), {"run": "print x", "if_": "always()"}]),
            DummyProvider(loop),
            reporter,
            str(tmp_path),
            clock=VirtualClock(loop),
            blocking=at_once,
        )
        loop.call_later(90, one.cancel, "cancelled", False)
        await one.run()
        return reporter, loop.time()

    ended, at_s = run_virtual(go({}))
    assert (ended.outcomes, at_s, cleaned) == (["cancelled", "success", "success"], 90, ["yes", "post"])
    ended, at_s = run_virtual(go({"timeout_minutes": 1}))
    assert (ended.outcomes, ended.result, at_s) == (["failure", "success", "success"], "failed", 60)


async def test_an_action_runs_processes(install: Install, processes: ProcessProvider, tmp_path: Path) -> None:
    async def main(ctx: ActionContext) -> None:
        taken: list[bytes] = []
        assert await ctx.run(["sh", "-c", "echo ::error::shown; pwd; exit 3"]) == 3
        assert await ctx.run(["sh", "-c", "echo $X"], env={**ctx.env, "X": "y"}, on_output=taken.append) == 0
        assert b"".join(taken) == b"y\n"
        assert await ctx.run(["pwd"], cwd="/usr", on_output=taken.append) == 0
        assert taken[-1] == b"/usr\n"
        assert await ctx.run(["sh", "-c", "kill -9 $$"]) == 137
        with pytest.raises(ActionFailed, match="no-such-program"):
            await ctx.run(["no-such-program"])
        os.mkdir(f"{ctx.workspace}/bin")
        Path(ctx.workspace, "bin", "tool").symlink_to("/bin/pwd")
        ctx.add_path(f"{ctx.workspace}/bin")

    install("one", main)
    ended = await run(Job([use("one"), "tool"]), processes, str(tmp_path))
    assert ended.outcomes == ["success", "success"], (ended.steps, ended.raw)
    assert ended.log_of(0).startswith("::error::shown\n")
    assert ended.annotations == []
    assert ended.log_of(1) == ended.log_of(0).splitlines()[1] + "\n"


async def test_a_cancelled_action_leaves_no_process(
    install: Install, processes: ProcessProvider, tmp_path: Path
) -> None:
    async def main(ctx: ActionContext) -> None:
        await ctx.run(["sh", "-c", "echo $$ > pid; echo ready; exec sleep 1000"])

    install("one", main)
    reporter = RecordingReporter()
    one = attempt(Job([use("one")]), processes, reporter, str(tmp_path), keep=True)
    reporter.on_log = lambda: one.cancel("cancelled", False)
    async with asyncio.timeout(60):
        await one.run()
    assert (reporter.result, reporter.outcomes) == ("cancelled", ["cancelled"])
    pid = int(next(tmp_path.glob("kept/*/0-1/pid")).read_text())
    assert not os.path.exists(f"/proc/{pid}")


def test_only_known_actions_are_loaded() -> None:
    assert contract.action_of("Actions/Checkout@v4") == "actions/checkout"
    with pytest.raises(ActionFailed, match="actions/checkout"):
        contract.load("some/thing@v1")
