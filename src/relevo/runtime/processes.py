"""Who a process is: its pid alone says little, since the kernel gives pids out again."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from typing import Final, NamedTuple


class ProcessIdentity(NamedTuple):
    """One process, told apart from every other that ever has its pid."""

    pid: int
    start_ticks: int  #: clock ticks from boot to its start, as in /proc/PID/stat
    boot_id: str


class ProcessStat(NamedTuple):
    """What /proc/PID/stat says of interest here."""

    state: str  #: R, S, D, T, t, Z, X …
    parent: int
    used_ticks: int  #: of the processor, by all its threads since its start
    start_ticks: int


class Effort(NamedTuple):
    """What a process does just now, as far as it can be seen from outside."""

    ticks: int  #: of the processor, used since its start
    waits: bool  #: a thread of it has a processor or is to get one, or waits for a disk


#: The file in an agent's folder that holds the identity of the process that owns the folder, as JSON; gone once that has left.
RECORD: Final = "agent.json"

_boot_id = ""


def boot_id() -> str:
    """The kernel's name for the time since it was booted."""
    global _boot_id
    if not _boot_id:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            _boot_id = file.read().strip()
    return _boot_id


def stat(pid: int) -> ProcessStat:
    """Read /proc/PID/stat. Raises ProcessLookupError when there is no such process."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None
    try:
        text = os.read(fd, 1024)
    finally:
        os.close(fd)
    return parse_stat(text)


def parse_stat(text: bytes) -> ProcessStat:
    """The fields of one line of /proc/PID/stat; the name in it may hold blanks and brackets."""
    fields = text[text.rindex(b")") + 2 :].split()
    return ProcessStat(
        fields[0].decode("ascii"), int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[19])
    )


def identity(pid: int) -> ProcessIdentity:
    """Who has this pid now. Raises ProcessLookupError."""
    return ProcessIdentity(pid, stat(pid).start_ticks, boot_id())


def alive(who: ProcessIdentity) -> bool:
    """Whether it still runs. A zombie does not."""
    try:
        return _is(stat(who.pid), who)
    except ProcessLookupError:
        return False


def _is(now: ProcessStat, who: ProcessIdentity) -> bool:
    return now.start_ticks == who.start_ticks and who.boot_id == boot_id() and now.state not in "ZX"


def effort(who: ProcessIdentity) -> Effort:
    """Signs of life. Raises ProcessLookupError when it does not run any more."""
    now = stat(who.pid)
    if not _is(now, who):
        raise ProcessLookupError(f"no process {who.pid}")
    return Effort(now.used_ticks, any(state in "RD" for state in _states(who.pid)))


def _states(pid: int) -> Iterator[str]:
    """Of each of its threads."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/stat", "rb", buffering=0) as file:
                yield parse_stat(file.read(1024)).state
        except OSError:
            continue  # it has just ended


def kill(who: ProcessIdentity, number: int = signal.SIGKILL) -> bool:
    """Send it a signal, never to another process that got its pid since. False when it is gone.

    Raises PermissionError.
    """
    try:
        fd = os.pidfd_open(who.pid)
    except OSError:
        return False
    try:
        if not alive(who):  # looked at while the descriptor pins the pid
            return False
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def end(who: ProcessIdentity, timeout_s: float) -> bool:
    """Kill it and wait, blocking, until it has ended; True when it has, also when it had before. Raises PermissionError."""
    try:
        fd = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return True
    try:
        if not kill(who):
            return True
        ended = select.poll()
        ended.register(fd, select.POLLIN)
        return bool(ended.poll(timeout_s * 1_000))
    finally:
        os.close(fd)
