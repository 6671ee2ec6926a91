"""Commands that follow a run, on a terminal: a process of its own behind a pseudo-terminal."""

from __future__ import annotations

import codecs
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.cli.terminal import Terminal

ROOT = Path(__file__).parents[3]
DRIVER = str(Path(__file__).parent / "driver.py")


class Window:
    """A command behind a terminal of 40 columns and 10 rows."""

    def __init__(self, folder: Path, scenario: str, *arguments: str, **environment: str) -> None:
        self._leader, follower = pty.openpty()
        termios.tcsetwinsize(follower, (10, 40))
        self.terminal = Terminal(40, 10)
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # reads may end within a character
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", DRIVER, scenario, *arguments],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=folder,
            start_new_session=True,
            preexec_fn=_take_terminal,  # Ctrl-C reaches only whom the terminal belongs to
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
                "RELEVO_HOME": str(folder / "home"),
                "TERM": "xterm",
            }
            | environment,
        )
        os.close(follower)

    def read_until(self, what: str) -> None:
        """Read what the command writes until `what` was there."""
        while what not in self.text:
            assert self._read(), f"it ended without saying it: {self.text}"

    def type(self, keys: str) -> None:
        os.write(self._leader, keys.encode())

    def end(self) -> int:
        """Read all, then the exit code."""
        while self._read():
            pass
        self.terminal.feed(self.text)
        return self.process.wait(timeout=60)

    def _read(self) -> bool:
        try:
            data = os.read(self._leader, 65_536)
        except OSError:  # the command has ended
            return False
        self.text += self._decoder.decode(data)
        return True

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._leader)


def _take_terminal() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / ".github" / "workflows" / "ci.yml").write_text("name: CI\non: push\n")
    (tmp_path / ".git").mkdir()
    return tmp_path


Open = Callable[..., Window]


@pytest.fixture
def window(project: Path) -> Iterator[Open]:
    made: list[Window] = []

    def opened(scenario: str, *arguments: str, **environment: str) -> Window:
        made.append(Window(project, scenario, *arguments, **environment))
        return made[-1]

    yield opened
    for one in made:
        one.close()


def test_a_run_that_fails_ends_with_the_reason(window: Open) -> None:
    run = window("fails", "run")
    assert run.end() == 1
    lines = [line.rstrip() for line in run.terminal.everything]
    assert lines[:3] == ["CI · push  run r1", "✗ build failed in “Compile”: exit code 2", "  1.5s"]
    assert "    it broke" in lines
    assert "  all of it: relevo logs r1 build" in lines
    assert run.terminal.cursor_shown


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["--plain"], {}), ([], {"CI": "true"}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})],
)
def test_lines_that_stay_where_nothing_is_to_be_drawn(
    window: Open, arguments: list[str], environment: dict[str, str]
) -> None:
    run = window("fails", "run", *arguments, **environment)
    assert run.end() == 1
    assert "\x1b[?25l" not in run.text
    assert "Compile" in run.text
    assert "│" in run.text


def test_ctrl_c_cancels_and_twice_ends_at_once(window: Open) -> None:
    run = window("waits_for_force", "run")
    run.read_until("begun")
    run.type("\x03")
    run.read_until("Ctrl-C again ends it at once")
    run.type("\x03")
    run.read_until("ending it at once")
    assert run.end() == 130
    lines = run.terminal.everything
    assert "relevo: ending it at once" in lines
    assert any("cancelled" in line for line in lines[-3:])


def test_a_crowd_ends_in_a_screenful(window: Open) -> None:
    run = window("crowd", "run")
    assert run.end() == 1
    lines = run.terminal.everything
    assert "✗ job 77 failed" in lines[1:4]
    assert len(lines) < 30
