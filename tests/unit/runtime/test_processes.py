from __future__ import annotations

import os
import signal
import subprocess

import pytest

from relevo.runtime import processes


def test_a_living_process_is_alive_until_it_is_killed() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        who = processes.identity(child.pid)
        assert processes.alive(who)
        assert processes.kill(who)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not processes.alive(who)  # a zombie
        child.wait()
        assert not processes.alive(who)
        assert not processes.kill(who)
        with pytest.raises(ProcessLookupError):
            processes.identity(child.pid)


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "another"}])
def test_another_process_with_its_pid_is_not_touched(change: dict[str, object]) -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        who = processes.identity(child.pid)._replace(**change)  # type: ignore[arg-type]
        assert not processes.alive(who)
        assert not processes.kill(who)
        assert child.poll() is None
        child.kill()


def test_any_signal_can_be_sent() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        assert processes.kill(processes.identity(child.pid), signal.SIGTERM)
        assert child.wait() == -signal.SIGTERM


def test_who_is_ended_has_ended() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        who = processes.identity(child.pid)
        child.send_signal(signal.SIGSTOP)
        assert processes.end(who, 60.0)
        assert not processes.alive(who)
        assert child.wait() == -signal.SIGKILL
        assert processes.end(who, 0.0)


def test_who_does_not_end_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "kill", lambda who: True)
    with subprocess.Popen(["sleep", "1000"]) as child:
        assert not processes.end(processes.identity(child.pid), 0.0)
        child.kill()


def test_names_with_brackets_and_blanks() -> None:
    text = b"12 (a) R (b c) S 7 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3\n"
    assert processes.parse_stat(text) == processes.ProcessStat("S", 7, 5 + 6, 98765)
