"""A run as somebody sees it who sits at a terminal."""

from __future__ import annotations

import codecs
import os
import pty
import subprocess
import termios

from tests.e2e.conftest import RELEVO
from tests.unit.cli.terminal import Terminal

WORKFLOW = """name: CI
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - name: Compile
        run: |
          echo "::group::Install"
          echo inner
          echo "::endgroup::"
          while [ ! -e $WITNESS ]; do sleep 0.02; done
          echo "::error file=w.yml,line=1,title=Oh::it broke"
          exit 3
"""


def test_a_run_is_drawn_while_it_goes_on_and_leaves_what_happened(user):
    user.workflow(WORKFLOW)
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 80))
    env = {name: value for name, value in user.env.items() if name not in ("NO_COLOR", "CI")}
    process = subprocess.Popen(
        [*RELEVO, "run", "w.yml"],
        cwd=user.tree,
        env=env | {"TERM": "xterm-kitty"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    user.started.append(process)
    os.close(follower)
    text = ""
    decoded = codecs.getincrementaldecoder("utf-8")()  # what is read at a time may end within a character
    while "Install (1 line)" not in text:
        text += decoded.decode(os.read(leader, 65_536))
    # What is drawn goes on without the step having to end.
    user.witness.write_text("")
    try:
        while data := os.read(leader, 65_536):
            text += decoded.decode(data)
    except OSError:
        pass  # the other side was closed
    os.close(leader)
    assert process.wait(timeout=60) == 1
    terminal = Terminal(80, 24)
    terminal.feed(text)
    lines = terminal.everything
    assert lines[0].startswith("CI · ")
    assert lines[1].startswith("✗ build failed in “Compile”: exit code 3")
    assert "    error w.yml:1: Oh: it broke" in lines
    assert f"\x1b]8;;file://{user.tree}/w.yml" in text
    assert any("relevo logs" in line and line.endswith(" build") for line in lines)
    assert lines[-1].startswith("✗ failed: 0 of 1 job succeeded, 1 failed")
    assert not any("Install (1 line)" in line for line in lines)
    assert terminal.cursor_shown
