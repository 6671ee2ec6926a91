"""The command line as its users meet it: processes, exit codes, pipes, signals. The engine plays a script."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relevo.cli.errors import guarded

ROOT = Path(__file__).parents[3]
DRIVER = str(Path(__file__).parent / "driver.py")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".github" / "workflows" / "ci.yml").write_text("name: CI\non: push\n")
    return tmp_path


class Shell:
    """Starts the command line in a project."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "RELEVO_HOME": str(project / "home"),
            "HOME": str(project),
        }
        self.started: list[subprocess.Popen[str]] = []

    def start(self, scenario: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", DRIVER, scenario, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.project,
            env=self.environment,
        )
        self.started.append(process)
        return process

    def __call__(self, scenario: str, *arguments: str) -> tuple[int, str, str]:
        process = self.start(scenario, *arguments)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture
def shell(project: Path) -> Iterator[Shell]:
    made = Shell(project)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("succeeds", 0),
        ("fails", 1),
        ("refuses", 2),
        ("held", 3),
        ("lost", 4),
        ("unreachable", 4),
        ("damaged", 4),
        ("has_bug", 4),
        ("cancelled", 130),
    ],
)
def test_exit_codes(shell: Shell, scenario: str, code: int) -> None:
    got, _, err = shell(scenario, "run")
    assert got == code, err
    assert "Traceback" not in err


def test_json_is_one_event_a_line_from_acceptance_to_the_result(shell: Shell) -> None:
    code, out, err = shell("fails", "run", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (1, "")
    assert lines[0]["event"] == "run.accepted"
    assert all(line["v"] == 1 and line["run"] == "r1" for line in lines)
    assert lines[-1] == {
        "v": 1,
        "run": "r1",
        "status": "failed",
        "jobs": {"build": {"status": "failed", "attempts": 1}},
    }


def test_quiet_tells_what_failed_and_the_result(shell: Shell) -> None:
    assert shell("succeeds", "run", "-q")[1].splitlines() == [
        "✓ succeeded: 1 of 1 job succeeded in 1.6s  run r1"
    ]
    out = shell("fails", "run", "-q")[1]
    assert "it broke" in out
    assert "relevo logs r1 build" in out


def test_a_user_error_is_a_message_with_advice(shell: Shell) -> None:
    code, out, err = shell("refuses", "run")
    assert (code, out) == (2, "")
    assert err == "relevo: ci.yml:3:5: unknown key 'job'\n  did you mean 'jobs'?\n"


def test_a_mistake_of_ours_is_one_line_and_a_file(shell: Shell) -> None:
    _, _, err = shell("has_bug", "run", "--secret", "TOKEN=hush")
    assert len(err.splitlines()) == 1
    assert "unexpected RuntimeError: boom" in err
    (details,) = (shell.project / "home" / "crashes").iterdir()
    assert str(details) in err
    assert "Traceback" in details.read_text()
    assert "hush" not in details.read_text()
    shell.environment["RELEVO_DEBUG"] = "1"
    assert "Traceback" in shell("has_bug", "run")[2]


def test_misuse_says_what_to_do(shell: Shell) -> None:
    for arguments, advice in [
        (["rum"], "Did you mean 'run'?"),
        (["ci.yml"], "relevo run ci.yml"),
        (["run", "nope"], "relevo run .github/workflows/ci.yml"),
        (["run", "--env", "A"], "--env A=VALUE"),
        (["run", "--json", "--quiet"], "exclude each other"),
        (["run", "--secret", "TOKEN"], "set the variable TOKEN"),
        (["run", "--jobs", "0"], "1<=x<=1024"),
        (["retry", "--failed", "--job", "build"], "exclude each other"),
        (["fail"], "--job"),
        (["logs", "--raw", "--tail", "3"], "--raw gives the exact bytes"),
        (["logs", "r1", "tset"], "its jobs: build"),
        (["show", "zzz"], "relevo runs"),
    ]:
        code, out, err = shell("succeeds", *arguments)
        assert (code, out) == (2, ""), arguments
        assert advice in err, arguments


def test_a_closed_pipe_ends_the_output_and_not_the_run(shell: Shell) -> None:
    process = shell.start("thousand_lines", "run")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("CI")
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(60) == 0


def test_a_closed_pipe_ends_whoever_only_shows(shell: Shell) -> None:
    process = shell.start("thousand_lines", "logs")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("══ build")
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(60) == 141


def until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    while text not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


def test_an_interrupt_cancels(shell: Shell) -> None:
    process = shell.start("waits_for_cancel", "run")
    until(process, "│ begun")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "cancelling run r1; Ctrl-C again ends it at once" in err
    assert "■ cancelled: 0 of 1 job" in out


def test_a_second_interrupt_forces(shell: Shell) -> None:
    process = shell.start("waits_for_force", "run")
    until(process, "│ begun")
    process.send_signal(signal.SIGINT)
    until(process, "always() steps still run")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ending it at once" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_closes_leaves_the_run(shell: Shell, number: signal.Signals) -> None:
    process = shell.start("waits_for_cancel", "run")
    until(process, "│ begun")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "relevo resume r1" in err
    assert "cancel" not in out


def test_resume(shell: Shell) -> None:
    assert shell("empty", "resume") == (0, "nothing to resume\n", "")
    assert shell("ended_seen", "resume") == (0, "nothing to resume\n", "")
    code, out, _ = shell("ended_unseen", "resume")
    assert code == 0
    assert "✓ succeeded: 1 of 1 job succeeded" in out
    assert "✓ succeeded" in shell("ended_seen", "resume", "r1")[1]


def test_a_resumed_run_is_told_whole_in_json(shell: Shell) -> None:
    lines = [json.loads(line) for line in shell("ended_unseen", "resume", "--json")[1].splitlines()]
    assert lines[0]["event"] == "run.accepted"
    assert lines[-1]["status"] == "succeeded"
    assert len(lines) == len({json.dumps(line) for line in lines})


def test_logs(shell: Shell) -> None:
    assert shell("fails", "logs")[1] == "══ build\n▸ Compile\none\ntwo\nit broke\n"
    assert shell("fails", "logs", "build", "--tail", "1")[1] == "it broke\n"
    assert shell("fails", "logs", "r1", "build", "--raw")[1] == "one\ntwo\nit broke\n"
    assert shell("fails", "logs", "--raw")[1] == "one\ntwo\nit broke\n"
    assert "2023-11-14T22:13:20.123Z one" in shell("fails", "logs", "build", "-t")[1]
    assert shell("fails", "logs", "-f")[1] == shell("fails", "logs")[1]


def test_a_run_that_lives_is_followed_without_owning_it(shell: Shell) -> None:
    process = shell.start("waits_for_cancel", "logs", "-f")
    until(process, "│ begun")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "cancel" not in out


def test_show_and_lists(shell: Shell) -> None:
    assert "✗ build  failed" in shell("fails", "show")[1]
    assert json.loads(shell("fails", "show", "--json")[1])["jobs"][0]["steps"][0]["exit_code"] == 2
    assert "r1" in shell("succeeds", "runs")[1]
    assert json.loads(shell("succeeds", "runs", "--json")[1])["run"] == "r1"
    assert shell("empty", "runs")[1] == "no runs yet: `relevo run` starts one\n"
    assert "/engine" in shell("succeeds", "actors")[1]
    told = "1 run would be removed, 1.2 kB\n2 caches would be removed, 5.7 kB\n"
    assert shell("succeeds", "prune", "--dry-run") == (0, "r0\n", told)
    assert shell("succeeds", "cancel", "--no-wait")[0] == 0
    assert shell("succeeds", "retry", "--failed", "-q")[0] == 0
    assert shell("succeeds", "fail", "--job", "build", "-q")[0] == 0


def test_a_crowd_of_jobs_stays_readable(shell: Shell) -> None:
    code, out, _ = shell("crowd", "run")
    assert code == 1
    assert len(out.splitlines()) < 60
    assert "the reason" in out
    assert "1,999 of 2,000 jobs succeeded, 1 failed" in out


def test_doctor_and_version(shell: Shell) -> None:
    code, out, err = shell("succeeds", "doctor", "--json")
    told = json.loads(out)
    names = {finding["what"] for finding in told["findings"]}
    assert {"kernel", "git", "bash", "home", "disk", "open files", "process trees", "engine"} <= names
    assert (code, err) == (0 if told["good"] else 1, "")
    assert (
        json.loads(shell("succeeds", "version", "--json")[1])["relevo"]
        == shell("succeeds", "--version")[1].split()[1]
    )


def test_other_systems_get_one_clear_error(shell: Shell) -> None:
    code = "import sys; sys.platform = 'darwin'; from relevo.cli.main import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=shell.environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "only Linux" in ended.stderr


def test_logs_for_programs(shell: Shell) -> None:
    line = {"v": 1, "job": "build", "step": 0, "at": 1_700_000_000_123}
    code, out, err = shell("fails", "logs", "--json")
    assert (code, err) == (0, "")
    lines = [json.loads(told) for told in out.splitlines()]
    assert lines == [line | {"line": text} for text in ("one", "two", "it broke")]
    _, out, _ = shell("steps_without_line_ends", "logs", "build", "--json", "-n", "2")
    lines = [json.loads(told) for told in out.splitlines()]
    assert [(told["step"], told["line"]) for told in lines] == [(1, "second\ufffd, too"), (2, "third")]
    assert shell("fails", "logs", "--json", "--raw")[0] == 2
    assert shell("fails", "logs", "--json", "-t")[0] == 2


def test_cancel_and_prune_and_metrics_for_programs(shell: Shell) -> None:
    code, out, _ = shell("waits_for_cancel", "cancel", "--json")
    assert (code, json.loads(out)) == (0, {"v": 1, "run": "r1", "status": "cancelled"})
    _, out, _ = shell("succeeds", "prune", "--dry-run", "--json")
    assert json.loads(out)["runs"] == ["r0"]
    _, out, _ = shell("succeeds", "metrics", "--json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"name": "relevo_jobs_total", "labels": {"status": 'a "b"\n'}, "value": 3},
        {"name": "relevo_lag_seconds", "labels": {}, "value": 0.25},
        {"name": "relevo_lag_seconds", "labels": {}, "value": "NaN"},
    ]


def test_check_for_programs(shell: Shell) -> None:
    (shell.project / "bad.yml").write_text("on: push\njob: {}\n")
    code, out, err = shell("succeeds", "check", "--json", "bad.yml")
    told = json.loads(out)
    assert (code, err) == (2, "")
    assert (told["path"], told["good"], told["runnable"]) == ("bad.yml", False, False)
    assert told["problems"][0]["line"] in (1, 2)
    (shell.project / "good.yml").write_text(
        "on: push\njobs:\n  a: {runs-on: linux, steps: [{uses: docker/build-push-action@v6}]}\n"
    )
    code, out, _ = shell("succeeds", "check", "--json", "good.yml")
    told = json.loads(out)
    assert (code, told["good"], told["runnable"]) == (0, True, False)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_was_closed_by_whoever_called_is_no_mistake(shell: Shell, closed: str) -> None:
    for arguments in (["run"], ["runs"], ["--help"], ["show"]):
        ended = subprocess.run(
            ["bash", "-c", f'exec "$@" {closed}', "-", sys.executable, DRIVER, "succeeds", *arguments],
            cwd=shell.project,
            env=shell.environment,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), arguments


def test_what_cannot_be_written_is_told(shell: Shell) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, DRIVER, "succeeds", "run", "--json"],
            cwd=shell.project,
            env=shell.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 0  # the run itself went well
    assert "no room where stdout leads to" in ended.stderr


def test_a_folder_that_is_gone_is_told(shell: Shell, tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            "bash",
            "-c",
            'mkdir gone; cd gone; rmdir ../gone; exec "$@"',
            "-",
            sys.executable,
            DRIVER,
            "succeeds",
            "run",
        ],
        cwd=tmp_path,
        env=shell.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert (
        ended.stderr
        == "relevo: the folder that you are in does not exist any more\n  change into another one: cd\n"
    )


def test_a_secret_that_nobody_gave_is_named(shell: Shell) -> None:
    (shell.project / "s.yml").write_text("on: push\nenv: {A: '${{ secrets.TOKEN }}'}\n")
    code, _, err = shell("succeeds", "run", "s.yml")
    assert (code, err.splitlines()[0]) == (0, "relevo: not given, and therefore empty: TOKEN")
    assert shell("succeeds", "run", "s.yml", "--secret", "TOKEN=x")[2] == ""


def test_an_installation_that_lacks_something_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        raise ModuleNotFoundError("No module named 'msgspec'", name="msgspec")

    assert guarded(command) == 4
    assert "msgspec is missing\n  install it again" in capsys.readouterr().err
