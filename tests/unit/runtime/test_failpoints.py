from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from relevo.domain.errors import UserError
from relevo.runtime import failpoints


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_nothing_happens_where_nothing_is_armed() -> None:
    failpoints.reach("store.before-commit")
    failpoints.arm("elsewhere=error")
    failpoints.reach("store.before-commit")


def test_an_error_comes_at_the_nth_reach_and_only_then() -> None:
    failpoints.arm("a=error:3, b=error")
    failpoints.reach("a")
    failpoints.reach("a")
    with pytest.raises(OSError, match="failpoint a"):
        failpoints.reach("a")
    failpoints.reach("a")
    with pytest.raises(OSError, match="failpoint b"):
        failpoints.reach("b")
    failpoints.arm("")
    failpoints.reach("b")


@pytest.mark.parametrize("spec", ["a", "a=", "=kill", "a=explode", "a=kill:x", "a=kill:-1"])
def test_what_is_no_failpoint_is_refused(spec: str) -> None:
    with pytest.raises(UserError, match="no failpoint"):
        failpoints.arm(spec)


@pytest.mark.parametrize("action", ["kill", "stop"])
def test_the_environment_arms(action: str) -> None:
    program = "from relevo.runtime.failpoints import reach\nreach('x')\nprint('once', flush=True)\nreach('x')\nprint('twice')"
    environment = {**os.environ, "RELEVO_FAILPOINTS": f"x={action}:2"}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE
    ) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if action == "kill":
            assert os.WTERMSIG(status) == signal.SIGKILL
        else:
            assert os.WIFSTOPPED(status)
            process.kill()
        assert process.stdout is not None
        assert process.stdout.read() == b"once\n"


def test_a_thread_stops_where_it_is_and_does_not_go_on_for_a_moment() -> None:
    """Of a signal to the whole process another thread may take notice first."""
    program = (
        "import threading, time\n"
        "from relevo.runtime.failpoints import reach\n"
        "def pass_by():\n"
        "    reach('x')\n"
        "    print('went on', flush=True)\n"
        "threading.Thread(target=pass_by).start()\n"
        "while True: time.sleep(0.0002)\n"
    )
    environment = {**os.environ, "RELEVO_FAILPOINTS": "x=stop"}
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE
        ) as process:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            process.kill()
            assert process.stdout is not None
            assert process.stdout.read() == b""
