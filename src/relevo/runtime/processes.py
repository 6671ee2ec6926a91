"""Which process is meant: a pid alone is used again, so that a process is known by pid, start and boot."""

from __future__ import annotations

import os
import signal

from msgspec import Struct


class ProcessIdentity(Struct, frozen=True):
    """One process, never to be mistaken for another."""

    pid: int
    start_ticks: int  #: field 22 of /proc/PID/stat, clock ticks since boot
    boot_id: str


def boot_id() -> str:
    """The kernel's name for this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def identity(pid: int) -> ProcessIdentity:
    """Who has the pid now. Raises ProcessLookupError when nobody has."""
    found = _stat(pid)
    if found is None:
        raise ProcessLookupError(f"there is no process {pid}")
    return ProcessIdentity(pid, found[1], boot_id())


def alive(identity: ProcessIdentity) -> bool:
    """Whether that very process still runs. A zombie does not: it holds no lock and no file any more."""
    if identity.boot_id != boot_id():
        return False
    found = _stat(identity.pid)
    return found is not None and found[1] == identity.start_ticks and found[0] not in "ZX"


def kill(identity: ProcessIdentity, *, wait_s: float = 5.0) -> bool:
    """SIGKILL that very process and wait until it is gone; False when it outlives `wait_s` (stuck in the kernel).

    Blocking. The pidfd is opened first and the identity checked afterwards, so that a pid that is used again
    between the two is never hit. True as well when it was gone before. Raises PermissionError.
    """
    try:
        fd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return True
    try:
        if not alive(identity):
            return True
        try:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        except ProcessLookupError:
            return True
        import select

        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(wait_s * 1_000))
    finally:
        os.close(fd)


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start of a process, None when there is none. The name may hold blanks and brackets: read from its end."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return fields[0].decode(), int(fields[19])
