"""A slot: a launcher, the place that holds its tree, and the file that tells a next incarnation what to clear away.

registered ──open──► ready ──(attempt)──► ready …      a clean slot is used again as it is
    ▲                  │ not clean, or no longer wanted
    └───── gone ◄──raze┘                               the file goes last, once the ends of all that it names are written

Who had a slot stands in its file until that is known: whoever reads it after this process has died tells of all of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import WorkerSpec, WorkerUnavailable
from relevo.providers.process import cgroups, launching, procfs
from relevo.providers.process.launcher import GUARDED, HELD, NAMESPACE
from relevo.providers.process.launching import Launcher
from relevo.providers.process.limits import Limits
from relevo.providers.process.trees import Tree, make_tree
from relevo.runtime import processes
from relevo.runtime.failpoints import reach
from relevo.runtime.processes import ProcessIdentity

#: in the environment of every step
MARK: Final = "RELEVO_ATTEMPT"
#: how long a tree is killed before it is told that something cannot be ended
PATIENCE_S: Final = 10.0
#: looks at a family in one pass
RESCANS: Final = 20
#: mechanism → mode of its launcher, where that leaves a parent behind
_MODES: Final = {"pid-namespace": NAMESPACE, "subreaper": GUARDED}


class NotHeld(WorkerUnavailable):
    """The mechanism that was chosen does not work here after all."""


class SlotRecord(Struct):
    """What stands in a slot's file. Written before what it names is made."""

    mechanism: str
    folders: dict[str, str]  #: hierarchy → the slot's group in it, made or not
    boot_id: str
    launcher: ProcessIdentity | None = None
    attempt: AttemptKey | None = None
    earlier: list[AttemptKey] = []  #: who had it before, as far as their ends may not be written yet


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SlotRecord).decode


class SlotFile:
    """The file of a slot, rewritten in place. Not synced: it has to outlive this process, not the machine."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = 0
        self._removed = False

    def write(self, record: SlotRecord) -> None:
        data = _encode(record)
        self._size = max(self._size, len(data))
        os.pwrite(self._fd, data.ljust(self._size), 0)

    def close(self) -> None:
        """Nothing more is written. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Idempotent."""
        self.close()
        if not self._removed:
            self._removed = True
            os.unlink(self.path)


def read_record(path: str) -> SlotRecord | None:
    """The record in a slot's file; None when its writer died before it was whole (and then had made nothing yet)."""
    try:
        with open(path, "rb") as file:
            return _decode(file.read())
    except (msgspec.DecodeError, FileNotFoundError):
        return None


def raze_once(record: SlotRecord, tree: Tree) -> list[ProcessIdentity]:
    """One pass of killing all that belongs to a slot; returns what was still alive. Call it until that is nothing."""
    chief = record.launcher
    if chief is not None and processes.alive(chief):
        # First who left the group but not the family: once the launcher is dead nobody knows whose they are.
        if family := _kill_family(chief, set(tree.members())):
            return [*family, chief]
        _kill_tree(tree, chief)
        processes.kill(chief)
        return [chief]
    _kill_tree(tree, None)
    if others := _in_groups(record, tree):
        for who in others:
            processes.kill(who)
        return others
    if record.attempt is None:
        return []
    lost = procfs.marked(frozenset([f"{MARK}={record.attempt}".encode()]))
    for who in lost:
        processes.kill(who)
    return lost


def _kill_tree(tree: Tree, chief: ProcessIdentity | None) -> None:
    try:
        tree.kill(chief)
    except OSError:
        pass  # a group that never came to be, or one that refuses: who is in it is killed singly, and it is tried again


def _kill_family(chief: ProcessIdentity, held: set[int]) -> list[ProcessIdentity]:
    """Kill what descends from the launcher and is not held otherwise; at once again, since they may fork meanwhile."""
    for _ in range(RESCANS):
        family = [who for who in procfs.descendants(chief.pid) if who.pid not in held]
        if not family:
            break
        for who in family:
            processes.kill(who)
    return family


def _in_groups(record: SlotRecord, tree: Tree) -> list[ProcessIdentity]:
    found = set(tree.members())
    for folder in record.folders.values():
        found.update(cgroups.members(folder))
    known = []
    for pid in found:
        try:
            known.append(processes.identity(pid))
        except ProcessLookupError:
            continue
    return known


def clear_once(record: SlotRecord, tree: Tree) -> list[ProcessIdentity] | None:
    """One pass of ending what an earlier incarnation left in a slot; None when all is gone, groups too."""
    left = raze_once(record, tree)
    return None if not left and _remove_groups(record) else left


def _remove_groups(record: SlotRecord) -> bool:
    """Remove the slot's groups in all hierarchies. False while one is not empty."""
    left = [folder for folder in record.folders.values() if not cgroups.remove(folder)]
    return not left


async def raze(record: SlotRecord, one_pass: Callable[[], list[ProcessIdentity] | None]) -> None:
    """Repeat a pass of killing until it returns None. Raises WorkerUnavailable when something will not end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    pause = 0.0005
    while (left := one_pass()) is not None:
        if loop.time() > deadline:
            names = ", ".join(str(who.pid) for who in left) or "none that can be seen"
            raise WorkerUnavailable(
                f"processes of attempt {record.attempt} do not end although they were killed (pids: {names}); "
                "they are tried again later, look for a hung device or file system"
            )
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.1)


class Left:
    """The file of an earlier incarnation's slot, which is cleared away but for the attempts that it names."""

    def __init__(self, path: str, attempts: set[AttemptKey]) -> None:
        self.path = path
        self._attempts = attempts

    def forget(self, attempt: AttemptKey) -> None:
        """See `WorkerProvider.forget`."""
        self._attempts.discard(attempt)
        if not self._attempts:
            os.unlink(self.path)


class Slot:
    """One place for one attempt at a time."""

    def __init__(self, path: str, mechanism: str, folders: dict[str, str]) -> None:
        """Registers it. Raises OSError."""
        self.record = SlotRecord(mechanism=mechanism, folders=folders, boot_id=processes.boot_id())
        self._file = SlotFile(path)
        try:
            self._file.write(self.record)
        except OSError:
            self._file.remove()
            raise
        self._tree = make_tree(mechanism, folders)
        self._spec: WorkerSpec | None = None
        self._razed = False
        self.launcher: Launcher | None = None
        self.limits: Limits | None = None

    @property
    def path(self) -> str:
        """Its file."""
        return self._file.path

    def open(self) -> None:
        """Start the launcher in its place. Raises WorkerUnavailable, after which only `raze` may be called."""
        record = self.record
        mode = _MODES.get(record.mechanism, HELD)
        try:
            pid, sock = launching.spawn(mode, list(record.folders.values()))
        except OSError as error:
            raise WorkerUnavailable(f"a launcher cannot be started: {error}") from error
        self.launcher = Launcher(pid, sock, asyncio.get_running_loop())
        record.launcher = self.launcher.identity
        self._file.write(record)
        try:
            self._tree.hold(pid)
        except OSError as error:
            raise NotHeld(f"a step's processes cannot be held by {record.mechanism}: {error}") from error
        v1 = {name: path for name, path in record.folders.items() if name not in ("unified", "freezer")}
        self.limits = Limits(v1, unified=record.folders.get("unified", ""), launcher=pid)

    async def take(self, spec: WorkerSpec) -> None:
        """Let an attempt have it. Raises WorkerUnavailable."""
        self.record.attempt = spec.attempt
        self._file.write(self.record)
        self._spec = spec
        await self._limit(spec)

    async def _limit(self, spec: WorkerSpec) -> None:
        assert self.launcher is not None
        assert self.limits is not None
        if self.record.mechanism in _MODES:
            await self.launcher.until_inside()  # both its selves are to stand in the limited groups
        self.limits.apply(spec)

    def leave(self) -> None:
        """The attempt is done with it. Its file goes on naming it."""
        if self.record.attempt is not None:
            self.record.earlier.append(self.record.attempt)
            self.record.attempt = None
        self._spec = None

    def forget(self, attempt: AttemptKey) -> None:
        """See `WorkerProvider.forget`. The next attempt's entry leaves it out."""
        self.record.earlier.remove(attempt)
        if self._razed:
            self._close_file()

    def _close_file(self) -> None:
        if self.record.attempt is None and not self.record.earlier:
            self._file.remove()
        else:
            self._file.close()

    def usable(self) -> bool:
        """Whether an attempt may have it. It was left clean, or is new: that its launcher lives is all that may have changed."""
        return self.launcher is not None and self.launcher.lives()

    def clean(self) -> bool:
        """Whether nothing but a live launcher is in it."""
        launcher = self.launcher
        return (
            launcher is not None
            and not launcher.gone
            and self._tree.holds_only(launcher.identity.pid)
            and (launcher.inner != 0 or self.record.mechanism not in _MODES)
            and not procfs.children(launcher.parent)
        )

    def signal(self, number: int) -> None:
        """Send a signal to all in it but the launcher."""
        launcher = self.launcher
        if launcher is None:
            return
        apart = {launcher.identity.pid, launcher.inner}
        victims = {who.pid: who for who in procfs.descendants(launcher.identity.pid)}
        for pid in self._tree.members():
            if pid not in victims:
                try:
                    victims[pid] = processes.identity(pid)
                except ProcessLookupError:
                    continue
        for pid, who in victims.items():
            if pid not in apart:
                processes.kill(who, number)

    def wake(self) -> None:
        """Let a launcher go on that something has stopped: a step may have sent SIGSTOP to its whole family."""
        launcher = self.launcher
        if launcher is None or launcher.gone:
            return
        for pid in {launcher.identity.pid, launcher.parent}:
            try:
                if processes.stat(pid).state == "T":
                    processes.kill(processes.identity(pid), signal.SIGCONT)
            except ProcessLookupError:
                continue

    async def renew(self) -> None:
        """Kill all in it and start a fresh launcher for the same attempt. Raises WorkerUnavailable."""
        await self._end_tree()
        self.open()
        if self._spec is not None:
            await self._limit(self._spec)

    async def raze(self) -> None:
        """Kill all in it and give everything back. Raises WorkerUnavailable; call it again then."""
        await self._end_tree()
        self._razed = True
        self._close_file()

    def raze_once(self) -> bool:
        """One pass of `raze`, without waiting. True when all is gone and given back."""
        if self._pass() is not None:
            return False
        self._razed = True
        self._close_file()
        return True

    async def _end_tree(self) -> None:
        reach("provider.in-cleanup")
        await raze(self.record, self._pass)

    def _pass(self) -> list[ProcessIdentity] | None:
        left = raze_once(self.record, self._tree)
        launcher = self.launcher
        if left or (launcher is not None and not launcher.reap()):
            return left
        reach("provider.after-kill")
        if not _remove_groups(self.record):
            return left
        if launcher is not None:
            launcher.hear_out()
            self.launcher = None
        return None
