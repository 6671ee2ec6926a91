"""Steps as processes of this machine: shells, environment, command files."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relevo.agent.prepared import prepare
from relevo.agent.shells import shells
from relevo.providers.process import ProcessProvider
from relevo.workflow.model import JobSpec, Position, StepSpec

from .harness import RUN, Job, RecordingReporter, attempt, run


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[ProcessProvider]:
    provider = ProcessProvider(str(tmp_path / "state"))
    yield provider
    await provider.close()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


def step(run: str, **fields: Any) -> dict[str, Any]:
    return {"run": run, **fields}


# steps, and what the last one prints
SCENARIOS: dict[str, tuple[list[Any], str]] = {
    "bash unspecified has no pipefail": (["false | true; echo $?"], "0\n"),
    "bash spelled out has pipefail": (
        [step("false | true; echo no", shell="bash", continue_on_error=True), "echo yes"],
        "yes\n",
    ),
    "bash stops at the first error": (["false; echo no"], ""),
    "sh": ([step("echo $0 | grep -c sh", shell="sh")], "1\n"),
    "python": ([step("import sys\nprint(sys.argv[0].endswith('.py'))", shell="python")], "True\n"),
    "a shell of its own": ([step("5 + 5", shell="sed s/5/7/ {0}")], "7 + 5"),
    "a quoted argument in a shell": ([step("x y", shell="sed 's/x y/z w/' {0}")], "z w"),
    "the default shell": ([step("echo $BASH_VERSION | grep -c .")], "1\n"),
    "windows line ends": (["echo a\r\necho b\r\n"], "a\nb\n"),
    "standard error in order": (["echo a; echo b >&2; echo c"], "a\nb\nc\n"),
    "standard input is empty": (["cat; echo end"], "end\n"),
    "env of workflow, job, step": (
        [step('echo "$A $B $C $D"', env={"C": "step"})],
        "workflow job step run\n",
    ),
    "env is text": (
        [step('echo "$T $N $F $Z"', env={"T": True, "N": 3, "F": 1.5, "Z": None})],
        "true 3 1.5 \n",
    ),
    "env refers to env": ([step('echo "$X"', env={"X": "${{ env.B }}!"})], "job!\n"),
    "env does not refer to env beside it": (
        [step('echo "[$Y]"', env={"X": "x", "Y": "${{ env.X }}"})],
        "[]\n",
    ),
    "a step that has not run yet": (
        [
            step("echo '[${{ steps.b.outcome }}${{ steps.b.outputs.x }}${{ steps.none.outcome }}]'", id="a"),
            step("true", id="b", if_="false"),
            "echo '${{ steps.a.outcome }} ${{ steps.b.outcome }} ${{ steps.b.conclusion }} [${{ steps.b.outputs.x }}]'",
        ],
        "success skipped skipped []\n",
    ),
    "GITHUB_ENV": (['echo "B=new" >> $GITHUB_ENV; echo $B', "echo $B ${{ env.B }}"], "new new\n"),
    "GITHUB_ENV with lines": (
        ['printf "L<<E\\na\\nb\\nE\\n" >> $GITHUB_ENV', 'echo "$L"'],
        "a\nb\n",
    ),
    "step env is above GITHUB_ENV": (
        ["echo B=new >> $GITHUB_ENV", step("echo $B", env={"B": "step"})],
        "step\n",
    ),
    "step env does not last": ([step("true", env={"B": "step"}), "echo $B"], "job\n"),
    "GITHUB_ENV does not set GITHUB_ variables": (
        ["echo GITHUB_JOB=x >> $GITHUB_ENV", "echo $GITHUB_JOB"],
        "job\n",
    ),
    "a step's env does not set GITHUB_ variables": (
        [step("echo $GITHUB_JOB", env={"GITHUB_JOB": "x"})],
        "job\n",
    ),
    "CI can be changed": ([step("echo $CI", env={"CI": "0"})], "0\n"),
    "GITHUB_PATH": (
        [
            "mkdir one two; for d in one two; do printf '#!/bin/sh\\necho '$d > $d/tool; chmod +x $d/tool; done\n"
            'echo "$PWD/one" >> $GITHUB_PATH; echo "$PWD/two" >> $GITHUB_PATH',
            "tool",
        ],
        "two\n",
    ),
    "GITHUB_PATH is for later steps": (
        [
            "echo /nowhere >> $GITHUB_PATH; case $PATH in /nowhere*) echo yes;; *) echo no;; esac",
            "echo ${PATH%%:*}",
        ],
        "/nowhere\n",
    ),
    "GITHUB_OUTPUT": (
        [step("echo a=1 >> $GITHUB_OUTPUT", id="one"), "echo ${{ steps.one.outputs.a }}"],
        "1\n",
    ),
    "outputs of a failed step": (
        [
            step("echo a=1 >> $GITHUB_OUTPUT; false", id="one", continue_on_error=True),
            "echo ${{ steps.one.outputs.a }}",
        ],
        "1\n",
    ),
    "an output with lines": (
        [
            step("{ echo 'a<<E'; echo x; echo 'y=z'; echo E; } >> $GITHUB_OUTPUT", id="one"),
            step('echo "$A"', env={"A": "${{ steps.one.outputs.a }}"}),
        ],
        "x\ny=z\n",
    ),
    "outputs are a step's own": (
        [
            step("echo a=1 >> $GITHUB_OUTPUT"),
            step("echo b=2 >> $GITHUB_OUTPUT", id="two"),
            "echo [${{ steps.two.outputs.a }}]",
        ],
        "[]\n",
    ),
    "working-directory": (["mkdir -p a/b", step('basename "$PWD"', working_directory="a/b")], "b\n"),
    "working-directory by expression": (
        ["mkdir -p job", step('basename "$PWD"', working_directory="${{ github.job }}")],
        "job\n",
    ),
    "working-directory absolute": ([step("pwd", working_directory="/usr")], "/usr\n"),
    "the workspace": (['[ "$PWD" = "$GITHUB_WORKSPACE" ] && ls -A | wc -l'], "0\n"),
    "the workspace stays": (["echo x > f", "cat f"], "x\n"),
    "the temporary folder stays": (["echo x > $RUNNER_TEMP/f", "cat ${{ runner.temp }}/f"], "x\n"),
    "the event": (["cat $GITHUB_EVENT_PATH"], '{"action":"opened"}'),
    "hashFiles": (
        ["mkdir d; printf a > d/one.lock; printf b > d/two.lock", "echo ${{ hashFiles('**/*.lock') }}"],
        # the digest of both files' digests
        "e5a01fee14e0ed5c48714f22180f25ad8365b53f9779f79dc4a3d7e93963f94a\n",
    ),
    "hashFiles of nothing": (["echo [${{ hashFiles('*.lock') }}]"], "[]\n"),
    "a background child does not hold up its step": (["sleep 30 & echo started", "echo next"], "next\n"),
    "a background child lives on": (
        [
            "(while [ ! -e go ]; do sleep 0.01; done; touch done) >/dev/null 2>&1 &",
            "touch go; while [ ! -e done ]; do sleep 0.01; done; echo ok",
        ],
        "ok\n",
    ),
    "GITHUB_ACTION": (["true", "echo $GITHUB_ACTION", step("echo $GITHUB_ACTION", id="mine")], "mine\n"),
    "scripts may hold anything": (["echo 'ü %s $$ \\ \"'"], 'ü %s $$ \\ "\n'),
    "a script that removes its temporary folder": (['rm -rf "$RUNNER_TEMP"', "echo here"], "here\n"),
    "a script that removes its workspace's content": (["touch a; rm -rf ./*", "ls -A | wc -l"], "0\n"),
    "state is there": (["echo a=b >> $GITHUB_STATE; echo ok"], "ok\n"),
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario(name: str, provider: ProcessProvider, folder: str) -> None:
    steps, expected = SCENARIOS[name]
    ended = await run(
        Job(
            steps,
            workflow_env={"A": "workflow", "B": "workflow", "C": "workflow"},
            env={"B": "job", "C": "job"},
            run_env={"D": "run"},
            github={"event": {"action": "opened"}, "repository": "me/it"},
        ),
        provider,
        folder,
    )
    assert ended.log_of(len(steps) - 1) == expected, ended.steps


FAILURES: dict[str, tuple[list[Any], str]] = {
    "an output that is no assignment": (
        ["echo hello >> $GITHUB_OUTPUT"],
        "Unable to process file command 'output' successfully. Invalid format 'hello'",
    ),
    "an env without its delimiter": (
        ["echo 'a<<E' >> $GITHUB_ENV"],
        "Unable to process file command 'env' successfully. Invalid value. Matching delimiter not found 'E'",
    ),
    "NODE_OPTIONS": (
        ["echo NODE_OPTIONS=x >> $GITHUB_ENV"],
        "Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command.",
    ),
    "an echo that is neither on nor off": (
        ["echo ::echo::maybe"],
        "Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: 'maybe'.",
    ),
    "set-env": (["echo ::set-env name=a::b"], "The `set-env` command is disabled."),
    "add-path": (["echo ::add-path::/x"], "The `add-path` command is disabled."),
    "set-output without a name": (["echo ::set-output::b"], "Required field 'name' is missing"),
    "a token that is a command": (["echo ::stop-commands::error"], "Invoked ::stop-commands:: with token"),
    "a shell that is not there": (
        [step("x", shell="nosuchshell {0}")],
        "the shell 'nosuchshell' was not found",
    ),
    "a shell without a place for the script": ([step("x", shell="zsh -e")], "'{0}'"),
    "a shell of Windows": ([step("x", shell="cmd")], "Windows"),
    "a working directory that is not there": (
        [step("x", working_directory="no/such")],
        "no/such is not there",
    ),
    "a working directory that is a file": (
        ["touch f", step("x", working_directory="f")],
        "could not be started in",
    ),
    "an environment that no process can have": ([step("x", env={"A": "b\0c"})], "could not be started"),
    "a signal": (["kill -9 $$"], "ended by signal 9 (SIGKILL)"),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_failure(name: str, provider: ProcessProvider, folder: str) -> None:
    steps, message = FAILURES[name]
    ended = await run(Job(steps), provider, folder)
    assert ended.outcomes[-1] == "failure"
    assert message in ended.steps[len(steps) - 1].message
    assert ended.result == "failed"


@pytest.mark.parametrize(
    ("shell", "command"),
    [
        (None, "bash -e F"),
        ("bash", "bash --noprofile --norc -e -o pipefail F"),
        ("Bash", "bash --noprofile --norc -e -o pipefail F"),
        ("sh", "sh -e F"),
        ("python", "python F"),
        ("pwsh", "pwsh -command . 'F'"),
        ("perl {0}", "perl F"),
        ("bash -l {0} --x", "bash -l F --x"),
    ],
)
def test_how_a_shell_is_called(shell: str | None, command: str) -> None:
    assert " ".join(shells(shell)[0].command("F")) == command


def test_steps_without_an_id_are_named_as_on_github() -> None:
    steps: list[Any] = [
        *("true", step("true", id="own"), {"uses": "actions/none@v1", "continue_on_error": True}),
        *(
            {"uses": "./none", "continue_on_error": True},
            {"uses": "./none", "continue_on_error": True},
            "true",
        ),
    ]
    spec = JobSpec(
        "a",
        Position(1, 1),
        tuple(StepSpec(Position(1, 1), **({"run": one} if isinstance(one, str) else one)) for one in steps),
    )
    assert [one.action_id for one in prepare("names", spec).steps] == [
        *("__run", "own", "__actions_none", "__self", "__self_2", "__run_2"),
    ]


async def test_the_environment_is_clean(
    provider: ProcessProvider, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relevo.agent import step_contexts

    monkeypatch.setenv("SECRET_OF_THE_AGENT", "x")
    monkeypatch.setenv("PYTHONPATH", "/x")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("https_proxy", "http://p")
    step_contexts._own.cache_clear()
    try:
        ended = await run(Job(["env -0 | tr '\\0' '\\n' | cut -d= -f1"]), provider, folder)
    finally:
        step_contexts._own.cache_clear()
    names = set(ended.log_of(0).split())
    assert {"CI", "LC_ALL", "https_proxy", "PATH", "RELEVO_ATTEMPT", "GITHUB_ENV", "RUNNER_TEMP"} <= names
    assert not {name for name in names if "SECRET" in name or name.startswith("PYTHON")}


async def test_a_summary(provider: ProcessProvider, folder: str) -> None:
    ended = await run(
        Job(["echo '# hi geheim' >> $GITHUB_STEP_SUMMARY", "true"], secrets={"S": "geheim"}), provider, folder
    )
    assert ended.steps[0].summary == "# hi ***\n"
    assert ended.steps[1].summary == ""


async def test_a_summary_that_is_too_large(provider: ProcessProvider, folder: str) -> None:
    ended = await run(
        Job(["head -c 1100000 /dev/zero | tr '\\0' x >> $GITHUB_STEP_SUMMARY"]), provider, folder
    )
    assert (ended.outcomes, ended.steps[0].summary) == (["success"], "")
    assert "supports content up to a size of 1024k, got 1074k" in ended.annotations[0][2]


async def test_any_bytes_are_kept(provider: ProcessProvider, folder: str) -> None:
    script = "import os\nos.write(1, bytes(range(256)) * 3000)"
    ended = await run(Job([step(script, shell="python")]), provider, folder)
    assert ended.raw == bytes(range(256)) * 3000


async def test_a_tree_that_does_not_want_to_end(provider: ProcessProvider, folder: str) -> None:
    reporter = RecordingReporter()
    one = attempt(
        Job(["trap '' INT TERM\n(trap '' INT TERM; setsid sleep 1000) &\necho ready; wait; sleep 1000"]),
        provider,
        reporter,
        folder,
    )
    reporter.on_log = lambda: one.cancel("cancelled", True)
    async with asyncio.timeout(60):
        await one.run()
    assert (reporter.result, reporter.outcomes) == ("cancelled", ["cancelled"])
    marks = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            marks.append(Path("/proc", pid, "environ").read_bytes())
        except OSError:
            continue
    assert not [mark for mark in marks if b"sleep" in mark and folder.encode() in mark]


async def test_what_a_cancelled_step_left_running_is_gone_before_the_next(
    provider: ProcessProvider, folder: str
) -> None:
    reporter = RecordingReporter()
    left = "(trap '' INT TERM; while :; do sleep 0.05; done) >/dev/null 2>&1 &\necho $! > pid; echo ready; sleep 1000"
    # a zombie waits for its parent to look, and does nothing any more
    look = step("grep -qs '^State:.[^Z]' /proc/$(cat pid)/status && echo alive || echo gone", if_="always()")
    one = attempt(Job([left, look]), provider, reporter, folder)
    reporter.on_log = lambda: one.cancel("cancelled", False)
    async with asyncio.timeout(60):
        await one.run()
    assert reporter.log_of(1) == "gone\n"


async def test_cancel_lets_a_step_clean_up(provider: ProcessProvider, folder: str) -> None:
    reporter = RecordingReporter()
    one = attempt(
        Job(["trap 'echo cleaned; exit 0' INT\necho ready\nwhile :; do sleep 0.05; done", "echo no"]),
        provider,
        reporter,
        folder,
    )
    reporter.on_log = lambda: one.cancel("cancelled", False)
    async with asyncio.timeout(60):
        await one.run()
    assert reporter.log_of(0) == "ready\ncleaned\n"
    assert reporter.outcomes == ["cancelled", "skipped"]


async def test_nothing_is_left_on_disk(provider: ProcessProvider, folder: str) -> None:
    await run(
        Job(["echo x > f; mkdir -p d/e; touch d/e/f; chmod 500 d/e d", "echo y > $RUNNER_TEMP/z"]),
        provider,
        folder,
    )
    assert os.listdir(f"{folder}/work") == []
    left = [os.path.join(root, name) for root, _, names in os.walk(f"{folder}/temp") for name in names]
    assert [path for path in left if os.path.getsize(path)] == []


async def test_a_workspace_is_kept_when_asked(provider: ProcessProvider, folder: str) -> None:
    await run(Job(["echo x > f"]), provider, folder, keep=True)
    assert Path(folder, f"kept/{RUN}/0-1/f").read_text() == "x\n"


async def test_the_next_attempt_sees_nothing_of_the_one_before(
    provider: ProcessProvider, folder: str
) -> None:
    await run(
        Job(
            ["touch f $RUNNER_TEMP/g; (sleep 0.2; echo a=b >> $GITHUB_ENV) & echo x=y >> $GITHUB_OUTPUT"] * 3
        ),
        provider,
        folder,
    )
    ended = await run(
        Job(
            [
                "ls -A; ls -A $RUNNER_TEMP | grep -v ^_; cat $GITHUB_ENV $GITHUB_OUTPUT; cat $RUNNER_TEMP/_[2-9]*; true"
            ]
        ),
        provider,
        folder,
    )
    assert "No such file" in ended.log_of(0) or ended.log_of(0) == ""
    assert "x=y" not in ended.log_of(0)


@pytest.mark.skipif(not shutil.which("sh"), reason="needs sh")
async def test_sh_is_taken_where_there_is_no_bash(provider: ProcessProvider, folder: str) -> None:
    only = Path(folder, "only")
    only.mkdir()
    (only / "sh").symlink_to(shutil.which("sh") or "")
    ended = await run(Job([step("echo via sh", env={"PATH": str(only)})]), provider, folder)
    assert ended.log_of(0) == "via sh\n"


async def test_scripts_are_not_readable_by_all_when_they_hold_secrets(
    provider: ProcessProvider, folder: str
) -> None:
    ended = await run(Job(["stat -c %a $RUNNER_TEMP"]), provider, folder)
    assert not int(ended.log_of(0), 8) & stat.S_IROTH
