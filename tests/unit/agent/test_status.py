"""Which steps run, and what the job comes to. Over the dummy provider, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relevo.providers.contract import WorkerSpec
from relevo.providers.dummy import DummyProvider, DummyWorker

from .harness import Job, RecordingReporter, at_once, run
from .virtual import VirtualClock, run_virtual

FAIL = "exit 1"
OK = "print ok"


def done(job: Job) -> RecordingReporter:
    async def main() -> RecordingReporter:
        loop = asyncio.get_running_loop()
        return await run(job, DummyProvider(loop), "/nowhere", clock=VirtualClock(loop), blocking=at_once)

    return run_virtual(main())


def step(run: str = OK, **fields: Any) -> dict[str, Any]:
    return {"run": run, **fields}


S, F, K = "success", "failure", "skipped"

# steps, outcomes, result
SCENARIOS: dict[str, tuple[list[Any], list[str], str]] = {
    "no steps": ([], [], "succeeded"),
    "all well": ([OK, OK], [S, S], "succeeded"),
    "a failure skips the rest": ([OK, FAIL, OK, OK], [S, F, K, K], "failed"),
    "always() runs after a failure": ([FAIL, step(if_="always()"), OK], [F, S, K], "failed"),
    "failure() runs after a failure": ([FAIL, step(if_="failure()")], [F, S], "failed"),
    "failure() is skipped when all is well": ([OK, step(if_="failure()")], [S, K], "succeeded"),
    "cancelled() is skipped when nobody cancelled": ([OK, step(if_="cancelled()")], [S, K], "succeeded"),
    "!cancelled() runs after a failure": ([FAIL, step(if_="!cancelled()")], [F, S], "failed"),
    "success() spelled out": ([OK, step(if_="success()")], [S, S], "succeeded"),
    "a condition means success() too": ([FAIL, step(if_="true")], [F, K], "failed"),
    "a false condition": ([step(if_="false"), OK], [K, S], "succeeded"),
    "a condition in braces": ([step(if_="${{ 1 == 2 }}"), OK], [K, S], "succeeded"),
    "always() with more": ([FAIL, step(if_="always() && 1 == 2")], [F, K], "failed"),
    "failure() || true": ([FAIL, step(if_="failure() || true"), OK], [F, S, K], "failed"),
    "continue-on-error": ([step(FAIL, continue_on_error=True), OK], [F, S], "succeeded"),
    "continue-on-error false": ([step(FAIL, continue_on_error=False), OK], [F, K], "failed"),
    "continue-on-error by expression": (
        [step(FAIL, continue_on_error="${{ env.GO == 'on' }}", env={"GO": "on"}), OK],
        [F, S],
        "succeeded",
    ),
    "continue-on-error by expression, false": (
        [step(FAIL, continue_on_error="${{ 1 == 2 }}"), OK],
        [F, K],
        "failed",
    ),
    "continue-on-error that cannot be evaluated": (
        [step(FAIL, continue_on_error="${{ fromJSON('{') }}"), OK],
        [F, K],
        "failed",
    ),
    "a failure among always() steps": (
        [FAIL, step(FAIL, if_="always()"), step(if_="always()")],
        [F, F, S],
        "failed",
    ),
    "outcome is what it was, conclusion what counts": (
        [
            step(FAIL, id="a", continue_on_error=True),
            step(if_="steps.a.outcome == 'failure' && steps.a.conclusion == 'success'"),
        ],
        [F, S],
        "succeeded",
    ),
    "outcome of a skipped step": (
        [
            step(id="a", if_="false"),
            step(if_="steps.a.outcome == 'skipped' && steps.a.conclusion == 'skipped'"),
        ],
        [K, S],
        "succeeded",
    ),
    "a step that is yet to come has no outcome": (
        [step(if_="steps.later.outcome == null"), step(id="later")],
        [S, S],
        "succeeded",
    ),
    "job.status": (
        [
            step(if_="job.status == 'success'"),
            FAIL,
            step(if_="always() && job.status == 'failure'"),
        ],
        [S, F, S],
        "failed",
    ),
    "a condition that cannot be evaluated fails the step": (
        [step(if_="fromJSON('{')"), OK, step(if_="failure()")],
        [F, K, S],
        "failed",
    ),
    "an env that cannot be evaluated fails the step": (
        [step(env={"A": "${{ fromJSON('{') }}"}), step(if_="always()")],
        [F, S],
        "failed",
    ),
    "a script that cannot be evaluated fails the step": (
        [step("print ${{ fromJSON('{') }}"), OK],
        [F, K],
        "failed",
    ),
    "a name that cannot be evaluated does not": ([step(name="${{ fromJSON('{') }}")], [S], "succeeded"),
    "an unknown shell": ([step(shell="fish"), step(if_="always()")], [F, S], "failed"),
    "a time-out that is no number": ([step(timeout_minutes="soon")], [F], "failed"),
    "a signal": (["signal 9"], [F], "failed"),
    "a shell that is not there": (["not-found"], [F], "failed"),
    "a time-out": ([step("hang", timeout_minutes=1), step(if_="failure()")], [F, S], "failed"),
    "a time-out in time": ([step("sleep 59", timeout_minutes=1)], [S], "succeeded"),
    "a time-out of a step that ignores SIGINT": (
        [step("ignore-term\nhang", timeout_minutes=1)],
        [F],
        "failed",
    ),
    "a time-out with continue-on-error": (
        [step("hang", timeout_minutes=0.5, continue_on_error=True), OK],
        [F, S],
        "succeeded",
    ),
    "a time-out by expression": ([step("hang", timeout_minutes="${{ fromJSON('2') }}")], [F], "failed"),
    "a time-out of nothing is none": ([step("sleep 3000", timeout_minutes=0)], [S], "succeeded"),
    "hashFiles without files": ([step(if_="hashFiles('**/lock') == ''")], [S], "succeeded"),
    "an action that is not built in": ([{"uses": "some/action@v1"}, OK], [F, K], "failed"),
    "set-env is refused": (["print ::set-env name=A::b", OK], [F, K], "failed"),
    "add-path is refused": (["print ::add-path::/x"], [F], "failed"),
    "set-output needs a name": (["print ::set-output::b"], [F], "failed"),
    "stop-commands needs a good token": (["print ::stop-commands::error"], [F], "failed"),
    "stopped commands do nothing": (
        ["print ::stop-commands::x1\nprint ::set-env name=A::b"],
        [S],
        "succeeded",
    ),
    "::error:: does not fail a step": (["print ::error::oh"], [S], "succeeded"),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    steps, outcomes, result = SCENARIOS[name]
    ended = done(Job(steps))
    assert (ended.outcomes, ended.result) == (outcomes, result)


def test_the_step_that_decided_gives_the_exit_code() -> None:
    ended = done(Job([step("exit 3", continue_on_error=True), "exit 4", step("exit 5", if_="always()")]))
    assert ended.exit_code == 4
    assert [ended.steps[index].exit_code for index in range(3)] == [3, 4, 5]


def test_a_signal_is_named() -> None:
    ended = done(Job(["signal 9"]))
    assert ended.steps[0].exit_code == 137
    assert "SIGKILL" in ended.steps[0].message


def test_a_missing_shell_is_named() -> None:
    ended = done(Job([step("not-found", shell="pwsh")]))
    assert "'pwsh' was not found" in ended.steps[0].message


def test_a_timed_out_step_says_so() -> None:
    ended = done(Job([step("hang", name="Long", timeout_minutes=1.5)]))
    assert ended.steps[0].message == "The action 'Long' has timed out after 1.5 minutes."
    named = step("hang", name="with ${{ secrets.S }}", timeout_minutes=1.5)
    ended = done(Job([named], secrets={"S": "geheim"}))
    assert ended.steps[0].message == "The action 'with ***' has timed out after 1.5 minutes."


def test_names_are_as_on_github() -> None:
    ended = done(
        Job(
            [
                "\n  print one  \nprint two",
                step(name="Mine"),
                step(name="For ${{ matrix.os }}"),
                "print ${{ matrix.os }}",
                {"uses": "actions/unknown@v4"},
            ],
            matrix={"os": "linux"},
        )
    )
    assert [ended.steps[index].name for index in range(5)] == [
        "Run print one",
        "Mine",
        "For linux",
        "Run print linux",
        "Run actions/unknown@v4",
    ]


def test_only_steps_that_run_are_told_to_start() -> None:
    ended = done(Job([FAIL, OK]))
    assert [call for call in ended.calls if call[0].startswith("step")] == [
        ("step_started", 0, "Run exit 1"),
        ("step_finished", 0),
        ("step_finished", 1),
    ]


def test_an_intent_comes_before_a_step_that_is_not_idempotent() -> None:
    ended = done(Job([OK, step(idempotent=False), step(idempotent=False, if_="false")]))
    assert [call for call in ended.calls if call[0] == "intend"] == [("intend", 1)]


def test_expressions_see_their_contexts() -> None:
    ended = done(
        Job(
            [
                "print ${{ matrix.n }} ${{ needs.a.outputs.x }} ${{ inputs.i }} ${{ vars.v }} ${{ secrets.S }}"
                " ${{ github.repository }} ${{ github.job }} ${{ runner.os }} ${{ env.E }} ${{ strategy.job-total }}"
            ],
            matrix={"n": 3},
            needs={"a": {"result": "success", "outputs": {"x": "out"}}},
            inputs={"i": True},
            vars={"v": "var"},
            secrets={"S": "tell-nobody"},
            env={"E": "${{ github.actor }}"},
        )
    )
    assert ended.raw == b"3 out true var *** me/it job Linux me\n"


def test_outputs_of_steps_and_of_the_job() -> None:
    ended = done(
        Job(
            [
                step("print ::set-output name=x::one", id="a"),
                step("print ::set-output name=y::${{ steps.a.outputs.x }}-two", id="b"),
            ],
            outputs={"both": "${{ steps.b.outputs.y }}", "none": "${{ steps.c.outputs.z }}", "word": "const"},
        )
    )
    assert ended.outputs == {"both": "one-two", "word": "const"}


def test_outputs_of_a_failed_job_are_kept() -> None:
    ended = done(
        Job([step("print ::set-output name=x::one", id="a"), FAIL], outputs={"x": "${{ steps.a.outputs.x }}"})
    )
    assert (ended.result, ended.outputs) == ("failed", {"x": "one"})


def test_an_output_with_a_secret_is_left_out_with_a_warning() -> None:
    ended = done(
        Job(
            [step("print ::set-output name=x::pre-geheim-post", id="a")],
            outputs={"x": "${{ steps.a.outputs.x }}", "y": "fine"},
            secrets={"S": "geheim"},
        )
    )
    assert ended.outputs == {"y": "fine"}
    assert (0, "warning", "Skip output 'x' since it may contain secret.") in ended.annotations


def test_outputs_beyond_the_limit_fail_the_job() -> None:
    ended = done(
        Job([OK], outputs={"x": "${{ format('{0}', inputs.big) }}"}, inputs={"big": "x" * (1 << 20)})
    )
    assert ended.result == "failed"
    assert "larger than 1 MB" in ended.message


def test_an_output_that_cannot_be_evaluated_fails_the_job() -> None:
    ended = done(Job([OK], outputs={"x": "${{ fromJSON('{') }}"}))
    assert (ended.result, ended.conclusions) == ("failed", ["success"])


def test_an_env_of_the_job_that_cannot_be_evaluated_fails_it_before_its_steps() -> None:
    ended = done(Job([OK, step(if_="always()")], env={"A": "${{ fromJSON('{') }}"}))
    assert (ended.result, ended.outcomes) == ("failed", ["skipped", "skipped"])
    assert "environment of the job" in ended.message


def test_masks_last_for_the_attempt() -> None:
    ended = done(
        Job(
            ["print ::add-mask::hunter2\nprint it is hunter2", "print still hunter2", "print-bytes 3"],
            masks=("other",),
        )
    )
    assert ended.raw == b"::add-mask::***\nit is ***\nstill ***\nabc"


def test_messages_and_names_are_masked() -> None:
    ended = done(
        Job(
            [step("print ::error title=geheim::a geheim b\nexit 1", name="Use ${{ secrets.S }}")],
            secrets={"S": "geheim"},
        )
    )
    assert ended.steps[0].name == "Use ***"
    assert ("annotation", 0, "error", "a *** b", "***", "", 0, 0) in ended.calls


def test_annotations_are_bounded() -> None:
    ended = done(Job(["\n".join(f"print ::warning::{n}" for n in range(50)), "print ::warning::more"]))
    assert len([one for one in ended.annotations if one[0] == 0]) == 10
    assert (1, "warning", "more") in ended.annotations


def test_the_raw_log_is_what_steps_wrote() -> None:
    ended = done(Job(["print ::group::A\nprint x\nprint ::endgroup::\nprint ::debug::d", "print y"]))
    assert ended.raw == b"::group::A\nx\n::endgroup::\n::debug::d\ny\n"


def test_a_lost_worker_makes_the_attempt_lost() -> None:
    ended = done(Job([OK, "lose-worker", step(if_="always()")]))
    assert ended.result == "lost"


def test_a_worker_that_cannot_be_made_makes_the_attempt_lost() -> None:
    ended = done(Job(["fail-create"]))
    assert ended.result == "lost"
    assert ended.message


def test_a_defect_makes_the_attempt_lost_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(DummyProvider):
        async def create(self, spec: Any) -> Any:
            raise ZeroDivisionError

    async def main() -> RecordingReporter:
        loop = asyncio.get_running_loop()
        return await run(Job([OK]), Broken(loop), "/nowhere", clock=VirtualClock(loop), blocking=at_once)

    ended = run_virtual(main())
    assert ended.result == "lost"
    assert "ZeroDivisionError" in caplog.text


def test_nothing_is_left() -> None:
    async def main() -> DummyProvider:
        loop = asyncio.get_running_loop()
        provider = DummyProvider(loop)
        for steps in ([OK], [FAIL], ["lose-worker"], ["hang"]):
            await run(
                Job(steps, timeout_s=5), provider, "/nowhere", clock=VirtualClock(loop), blocking=at_once
            )
        return provider

    assert run_virtual(main()).workers == set()


def test_a_worker_is_made_with_what_its_job_asked_for():
    asked: list[WorkerSpec] = []

    class Provider(DummyProvider):
        async def create(self, spec: WorkerSpec) -> DummyWorker:
            asked.append(spec)
            return await super().create(spec)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        options = {"clock": VirtualClock(loop), "blocking": at_once}
        await run(Job([OK]), Provider(loop), "/nowhere", cpus=1.5, memory_bytes=1 << 28, **options)

    run_virtual(main())
    assert [(spec.cpus, spec.memory_bytes) for spec in asked] == [(1.5, 1 << 28)]
