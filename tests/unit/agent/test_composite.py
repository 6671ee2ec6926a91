"""Composite actions: what their steps see, what they leave, how they end. Over real processes where scripts matter, else in virtual time."""

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
from relevo.agent.actions.contract import ActionContext
from relevo.providers.process import ProcessProvider

from .harness import Job, RecordingReporter, attempt, run

#: Put into the workspace by the first step of each test.
_files: dict[str, str] = {}


async def _put(ctx: ActionContext) -> None:
    for path, text in _files.items():
        target = Path(ctx.workspace, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


@pytest.fixture(autouse=True)
def put(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tests_action_put")
    module.main = _put  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(contract.NATIVE_ACTIONS, "test/put", module.__name__)
    _files.clear()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def installed(name: str, main: Any, post: Any = None) -> None:
        module = ModuleType(f"tests_action_{name}")
        module.main = main  # type: ignore[attr-defined]
        if post is not None:
            module.post = post  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(contract.NATIVE_ACTIONS, f"test/{name}", module.__name__)

    return installed


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[ProcessProvider]:
    provider = ProcessProvider(str(tmp_path / "state"))
    yield provider
    await provider.close()


def use(path: str, **fields: Any) -> dict[str, Any]:
    return {"uses": path, **fields}


def composite(*steps: str, head: str = "") -> str:
    inner = "".join(f"    - {step}\n" for step in steps)
    return f"{head}\nruns:\n  using: composite\n  steps:\n{inner}"


def job(*steps: Any, **fields: Any) -> Job:
    return Job([use("test/put@v1"), *steps], **fields)


def said(ended: RecordingReporter, step: int = 1) -> list[str]:
    """What inner steps printed, without the headlines."""
    lines, found, folded = ended.log_of(step).splitlines(), [], False
    for line in lines:
        folded = folded or line.startswith("::group::")
        if not folded:
            found.append(line)
        folded = folded and line != "::endgroup::"
    return found


def sh(script: str, **fields: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in fields.items())
    return f"{{shell: sh, run: {script!r}{more}}}"


# what the inner steps print, one line for each case
CASES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a default": (composite(sh("echo ${{ inputs.a }}"), head="inputs: {a: {default: one}}"), {}, ["one"]),
    "a default that is an expression": (
        composite(sh("echo ${{ inputs.a }}"), head="inputs: {a: {default: '${{ github.repository }}'}}"),
        {},
        ["me/it"],
    ),
    "an input that is given stands above its default": (
        composite(sh("echo ${{ inputs.a }}"), head="inputs: {a: {default: one}}"),
        {"with_": {"A": "two"}},
        ["two"],
    ),
    "an input that is given empty": (
        composite(sh("echo [${{ inputs.a }}]"), head="inputs: {a: {default: one}}"),
        {"with_": {"a": ""}},
        ["[]"],
    ),
    "blanks of inputs are kept": (
        composite(sh("echo '[${{ inputs.a }}]'"), head="inputs: {a: {}}"),
        {"with_": {"a": " x "}},
        ["[ x ]"],
    ),
    "no INPUT_ variables": (
        composite(sh('echo ${INPUT_A-unset}"'.replace('"', "")), head="inputs: {a: {}}"),
        {"with_": {"a": "x"}},
        ["unset"],
    ),
    "inputs of the job are not the action's": (composite(sh("echo [${{ inputs.b }}]")), {}, ["[]"]),
    "steps of the job are not the action's": (composite(sh("echo [${{ steps.put.outcome }}]")), {}, ["[]"]),
    "the shell may be an input": (
        composite("{run: 'echo $0', shell: '${{ inputs.shell }} {0} x'}", head="inputs: {shell: {}}"),
        {"with_": {"shell": "sh -c 'echo of the shell'"}},
        ["of the shell"],
    ),
    "working-directory is below the workspace": (
        composite(sh("basename $PWD", **{"working-directory": "act"})),
        {},
        ["act"],
    ),
    "hashFiles in a default and in a condition": (
        composite(
            sh("echo ${{ inputs.a != '' }}", **{"if": "hashFiles('nothing') == ''"}),
            head="inputs: {a: {default: \"${{ hashFiles('act/action.yml') }}\"}}",
        ),
        {},
        ["true"],
    ),
    "env of the step that uses it stands above GITHUB_ENV": (
        composite(sh("echo A=set >> $GITHUB_ENV; echo B=set >> $GITHUB_ENV"), sh("echo $A $B ${{ env.A }}")),
        {"env": {"A": "given"}},
        ["given set given"],
    ),
    "env of an inner step stands above both": (
        composite(sh("echo $A", env="{A: inner}")),
        {"env": {"A": "given"}},
        ["inner"],
    ),
    "GITHUB_PATH reaches the next inner step": (
        composite(
            sh("mkdir bin; echo 'echo found' > bin/it; chmod +x bin/it; echo $PWD/bin >> $GITHUB_PATH"),
            sh("it"),
        ),
        {},
        ["found"],
    ),
    "a step that is skipped": (
        composite(sh("echo no", id="a", **{"if": "false"}), sh("echo ${{ steps.a.outcome }}")),
        {},
        ["skipped"],
    ),
    "commands are stopped for one inner step only": (
        composite(sh("echo '::stop-commands::t'; echo ::warning::no"), sh("echo ::warning::yes")),
        {},
        ["::stop-commands::t", "::warning::no", "::warning::yes"],
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_inside(case: str, processes: ProcessProvider, tmp_path: Path) -> None:
    text, fields, expected = CASES[case]
    _files["act/action.yml"] = text
    wanted = job(use("./act", **fields), inputs={"b": "of the job"})
    wanted.steps[0]["id"] = "put"  # type: ignore[index]
    ended = await run(wanted, processes, str(tmp_path))
    assert said(ended) == expected
    assert ended.outcomes == ["success", "success"], ended.steps
    if "stopped" in case:
        assert ended.annotations == [(1, "warning", "yes")]


async def test_what_is_warned_of(processes: ProcessProvider, tmp_path: Path) -> None:
    _files["act/action.yml"] = composite(
        sh("echo [${{ inputs.needed }}]"),
        head="inputs: {needed: {required: true}, old: {deprecationMessage: use new}}",
    )
    ended = await run(job(use("./act", with_={"old": 1, "other": 2})), processes, str(tmp_path))
    assert ended.outcomes == ["success", "success"]
    assert sorted(message for _, _, message in ended.annotations) == [
        "Input 'needed' is required and was not given: it is empty",
        "Input 'old' has been deprecated with message: use new",
        "Unexpected input(s) 'other', valid inputs are ['needed', 'old']",
    ]


async def test_the_headline_tells_what_runs(processes: ProcessProvider, tmp_path: Path) -> None:
    _files["act/action.yml"] = composite(
        sh("echo '::error::x'", name="A name", env="{A: '${{ inputs.a }}'}"), head="inputs: {a: {}}"
    )
    ended = await run(
        job(use("./act", with_={"a": "geheim"}), secrets={"S": "geheim"}), processes, str(tmp_path)
    )
    assert ended.log_of(1) == (
        "::group::A name\n\x1b[36;1mecho '::error::x'\x1b[0m\nshell: sh -e {0}\nenv:\n  A: ***\n::endgroup::\n::error::x\n"
    )
    assert ended.annotations == [(1, "error", "x")]


async def test_how_a_failure_is_told(processes: ProcessProvider, tmp_path: Path) -> None:
    _files["act/action.yml"] = composite(sh("exit 7"), sh("echo no"), head="outputs: {a: {value: there}}")
    ended = await run(
        job(use("./act", id="act"), {"run": "echo ${{ steps.act.outputs.a }}", "if_": "always()"}),
        processes,
        str(tmp_path),
    )
    assert ended.steps[1].outcome == "failure"
    assert (ended.steps[1].exit_code, ended.exit_code) == (7, 7)
    assert ended.steps[1].message == "act/action.yml:5:7: Run exit 7: exit code 7"
    assert said(ended) == ["Error: exit code 7"]
    assert ended.log_of(2) == "there\n"
    assert ended.result == "failed"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "./act: there is no action.yml or action.yaml in that folder of the workspace. Run actions/checkout"),
        ({"act/action.yml": "runs: {using: docker, image: x}"}, "act/action.yml:1:15: ./act is a container action (using: docker)"),
        ({"act/Dockerfile": "FROM scratch"}, "act/Dockerfile:1:15: ./act is a container action (using: docker)"),
        ({"act/action.yml": "runs: {using: composite, steps: [{run: x}]}"}, "act/action.yml:1:34: a step with `run` needs the key `shell`"),
        ({"act/action.yml": composite("{uses: test/none@v1}")}, "act/action.yml:5:7: Run test/none@v1: test/none@v1: this action is not built in"),
        ({"act/action.yml": composite(sh("x", env="{A: \"${{ fromJSON('{') }}\"}"))}, "act/action.yml:5:7: Run x: "),
        ({"act/action.yml": composite("{run: x, shell: '${{ 1 }}'}")}, "act/action.yml:5:7: Run x: Invalid shell option '1'"),
        ({"act/action.yml": composite(sh("echo A=", id="a"), head="outputs: {o: {value: \"${{ fromJSON('{') }}\"}}")}, "act/action.yml: the output 'o': "),
        ({"act/action.yml": composite("{uses: ./act}")}, "nested deeper than 10 levels"),
        ({"act/action.yml": composite(sh("echo NODE_OPTIONS=x >> $GITHUB_ENV"))}, "act/action.yml:5:7: Run echo NODE_OPTIONS=x >> $GITHUB_ENV: Unable to process"),
    ],
)  # fmt: skip
async def test_what_cannot_run(
    files: dict[str, str], message: str, processes: ProcessProvider, tmp_path: Path
) -> None:
    _files.update(files)
    ended = await run(job(use("./act")), processes, str(tmp_path))
    assert ended.outcomes == ["success", "failure"]
    assert message in ended.steps[1].message
    assert any(level == "error" for _, level, _ in ended.annotations)
    assert message.rpartition(": ")[2].rstrip(": ") in ended.log_of(1)


async def test_an_action_outside_of_the_workspace_is_refused(
    processes: ProcessProvider, tmp_path: Path
) -> None:
    Path(tmp_path, "act").mkdir()
    Path(tmp_path, "act", "action.yml").write_text(composite(sh("echo no")))
    ended = await run(
        job({"run": f"ln -s {tmp_path}/act link"}, use("./link"), {"uses": "./../act", "if_": "always()"}),
        processes,
        str(tmp_path),
    )
    assert [ended.steps[index].message for index in (2, 3)] == [
        "./link: it lies outside of the workspace",
        "./../act: it lies outside of the workspace",
    ]


async def test_posts_of_inner_actions_run_at_the_end_of_the_job(
    install: Callable[..., None], processes: ProcessProvider, tmp_path: Path
) -> None:
    told = []

    async def main(ctx: ActionContext) -> None:
        ctx.register_post()
        ctx.save_state("name", ctx.input("name"))
        ctx.set_output("path", ctx.github["action_path"])
        assert ctx.env["GITHUB_ACTION_PATH"] == ctx.github["action_path"] == f"{ctx.workspace}/act"

    async def post(ctx: ActionContext) -> None:
        told.append((ctx.state["name"], ctx.env.get("A"), os.path.basename(ctx.github["action_path"])))

    install("clean", main, post)
    _files["act/action.yml"] = composite(
        "{uses: test/clean@v1, with: {name: one}}", "{uses: test/clean@v1, with: {name: two}}", sh("exit 1")
    )
    ended = await run(job(use("./act", env={"A": "a"})), processes, str(tmp_path))
    assert told == [("two", "a", "act"), ("one", "a", "act")]
    assert ended.outcomes == ["success", "failure", "success", "success"]
    assert ended.steps[2].name == "Post Run test/clean@v1"


async def test_an_intent_comes_before_a_composite_action_with_a_step_that_must_not_be_repeated(
    processes: ProcessProvider, tmp_path: Path
) -> None:
    _files["act/action.yml"] = composite(sh("echo first"), sh("echo second", relevo="{idempotent: false}"))
    _files["outer/action.yml"] = composite(sh("echo before"), "{uses: ./act}")
    ended = await run(job(use("./act"), use("./outer")), processes, str(tmp_path))
    assert ended.result == "succeeded"
    assert [call for call in ended.calls if call[0] == "intend"] == [("intend", 1), ("intend", 2)]


async def test_summaries_of_inner_steps_are_one(processes: ProcessProvider, tmp_path: Path) -> None:
    _files["act/action.yml"] = composite(
        sh("echo one >> $GITHUB_STEP_SUMMARY"), sh("echo two >> $GITHUB_STEP_SUMMARY")
    )
    ended = await run(job(use("./act")), processes, str(tmp_path))
    assert ended.steps[1].summary == "one\ntwo\n"


async def test_the_time_of_the_step_is_that_of_all_inner_steps(
    processes: ProcessProvider, tmp_path: Path
) -> None:
    _files["act/action.yml"] = composite(
        sh("echo begun; sleep 60"),
        sh("echo no", **{"if": "always()"}),
    )
    ended = await run(
        job(use("./act", timeout_minutes=0.02), {"run": "echo ${{ steps.x.outcome }}", "if_": "always()"}),
        processes,
        str(tmp_path),
    )
    assert ended.steps[1].outcome == "failure"
    assert ended.steps[1].message == "The action 'Run ./act' has timed out after 0.02 minutes."
    assert said(ended) == ["begun"]
    assert ended.outcomes[2] == "success"


async def cancelled_at(text: str, ended: Job, provider: ProcessProvider, folder: str) -> RecordingReporter:
    """Run a job and cancel it once a step has printed something."""
    reporter = RecordingReporter()
    attempting = attempt(ended, provider, reporter, folder)

    def look() -> None:
        if text in reporter.log_of(1).splitlines():
            attempting.cancel("cancelled", False)

    reporter.on_log = look
    await asyncio.wait_for(attempting.run(), 60)
    return reporter


async def test_a_cancel_ends_the_inner_step_and_those_that_ask_for_it_still_run(
    processes: ProcessProvider, tmp_path: Path
) -> None:
    _files["act/action.yml"] = composite(
        sh("echo begun; sleep 60"),
        sh("echo no"),
        sh("echo ${{ github.action_status }} ${{ job.status }}", **{"if": "cancelled()"}),
        sh("echo no", **{"if": "failure()"}),
        sh("echo cleaned up", **{"if": "always()"}),
    )
    ended = await cancelled_at("begun", job(use("./act"), "echo no"), processes, str(tmp_path))
    assert said(ended) == ["begun", "cancelled cancelled", "cleaned up"]
    assert ended.outcomes == ["success", "cancelled", "skipped"]
    assert ended.result == "cancelled"


async def test_a_cancel_does_not_reach_into_a_composite_action_that_always_runs(
    processes: ProcessProvider, tmp_path: Path
) -> None:
    _files["act/action.yml"] = composite(
        sh("mkfifo go; echo begun; read line < go; echo $line"),
        sh("echo ${{ github.action_status }} ${{ job.status }}"),
    )
    reporter = RecordingReporter()
    attempting = attempt(job(use("./act", if_="always()")), processes, reporter, str(tmp_path), keep=True)

    def look() -> None:
        if reporter.log_of(1).endswith("begun\n"):
            attempting.cancel("cancelled", False)
            next(Path(tmp_path).rglob("go")).write_text("ended\n")

    reporter.on_log = look
    await asyncio.wait_for(attempting.run(), 60)
    assert said(reporter) == ["begun", "ended", "success cancelled"]
    assert reporter.outcomes == ["success", "success"]


async def test_nothing_inner_runs_after_a_forced_end(processes: ProcessProvider, tmp_path: Path) -> None:
    _files["act/action.yml"] = composite(sh("echo begun; sleep 60"), sh("echo no", **{"if": "always()"}))
    reporter = RecordingReporter()
    attempting = attempt(job(use("./act")), processes, reporter, str(tmp_path))
    reporter.on_log = lambda: "begun\n" in reporter.log_of(1) and attempting.cancel("cancelled", True)
    await asyncio.wait_for(attempting.run(), 60)
    assert said(reporter)[:1] == ["begun"]
    assert "no" not in said(reporter)
    assert reporter.result == "cancelled"
