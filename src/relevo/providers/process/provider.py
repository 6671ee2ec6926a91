"""Makes workers of local processes: hands out slots, keeps clean ones, clears away what an earlier agent left."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import WorkerSpec, WorkerUnavailable
from relevo.providers.process import cgroups, trees
from relevo.providers.process.limits import why_no_limit
from relevo.providers.process.slot import Left, NotHeld, Slot, SlotRecord, clear_once, raze, read_record
from relevo.providers.process.trees import make_tree
from relevo.providers.process.worker import ProcessWorker
from relevo.runtime import processes
from relevo.runtime.disk import lacks_room

T = TypeVar("T")

#: how often a worker is tried again for which the disk had no room
ROOM_S: Final = 0.5
#: how often live workers are looked after
CARE_S: Final = 5.0


class ProcessProvider:
    """A WorkerProvider. One for each `state_dir` at a time; all calls on one event loop."""

    def __init__(self, state_dir: str, *, mechanism: str | None = None) -> None:
        """`mechanism`: one of `trees.MECHANISMS`; None: the best that works. Touches nothing yet."""
        self._folder = os.path.join(os.path.abspath(state_dir), "slots")
        self._instance = (
            "relevo-" + hashlib.sha256(self._folder.encode("utf-8", "surrogateescape")).hexdigest()[:12]
        )
        self._mechanism = mechanism
        self._forced = mechanism is not None
        self._layout: cgroups.Layout | None = None
        self._next = 0
        self._free: list[Slot] = []
        self._doomed: list[Slot] = []  #: to be ended, and not ended yet
        self._workers: set[ProcessWorker] = set()
        self._cleared: list[AttemptKey] = []
        #: who has no worker any more, and what names them still
        self._named: dict[AttemptKey, list[Slot | Left]] = {}
        self._unnamed: set[AttemptKey] = set()  #: forgotten before they had given their workers back
        self._care: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        return "process"

    @property
    def mechanism(self) -> str:
        """What holds and ends process trees."""
        if self._mechanism is None:
            self._mechanism = choose_mechanism(self._where())
        return self._mechanism

    def capabilities(self) -> dict[str, dict[str, str]]:
        """What works on this machine, for people: {"mechanisms": {name: why not}, "limits": {controller: why not},
        "chosen": {"mechanism": name}}. "" where it works. Blocks for some milliseconds."""
        layout = self._where()
        return {
            "chosen": {"mechanism": self.mechanism},
            "mechanisms": {name: trees.why_unusable(name, layout) for name in trees.MECHANISMS},
            "limits": {name: why_no_limit(name, layout) for name in ("memory", "pids", "cpu")},
        }

    async def recover(self) -> list[AttemptKey]:
        """Raises WorkerUnavailable when something of an earlier incarnation will not end: nothing may be retried before it
        does. Call it again then; what was cleared meanwhile is not forgotten."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        ours = {slot.path for slot in self._free} | {worker.slot_path for worker in self._workers}
        named = {holder.path for holders in self._named.values() for holder in holders}
        for path in self._files():
            self._next = max(self._next, int(os.path.basename(path)) + 1)
            if path in ours or path in named:
                continue
            record = read_record(path)
            if record is not None and record.boot_id == processes.boot_id():
                await _clear(record)
            self._left(path, record)
        if not ours:
            await self._clear_unregistered()
            self._free.append(self._open())  # the first job finds its launcher warm
        cleared, self._cleared = self._cleared, []
        return cleared

    def _left(self, path: str, record: SlotRecord | None) -> None:
        """All in a slot was ended; whom its file names is to be told."""
        attempts = [] if record is None else [*record.earlier, *filter(None, [record.attempt])]
        if not attempts:
            os.unlink(path)
            return
        left = Left(path, set(attempts))
        for attempt in attempts:
            self._named.setdefault(attempt, []).append(left)
            self._cleared.append(attempt)

    def forget(self, attempt: AttemptKey) -> None:
        for holder in self._named.pop(attempt, ()):
            _warned(partial(holder.forget, attempt))
        if any(worker.attempt == attempt for worker in self._workers):
            self._unnamed.add(attempt)

    async def create(self, spec: WorkerSpec) -> ProcessWorker:
        while True:
            try:
                return await self._create(spec)
            except OSError as error:
                if not lacks_room(error):
                    raise WorkerUnavailable(
                        f"a worker cannot be registered in {self._folder}: {error}"
                    ) from error
            await asyncio.sleep(ROOM_S)

    async def _create(self, spec: WorkerSpec) -> ProcessWorker:
        while self._free:
            slot = self._free.pop()
            if slot.usable():
                break
            self._doom(slot)  # its launcher was killed while nobody used it
        else:
            slot = self._open()
        worker = ProcessWorker(slot, spec, self._take_back)
        self._workers.add(worker)
        self._take_care()
        try:
            await slot.take(spec)
        except WorkerUnavailable:
            await worker.destroy()
            raise
        except BaseException:
            # No room for its file, a caller that was cancelled: nobody else knows of this worker.
            worker.abandon()
            raise
        return worker

    async def close(self) -> None:
        failed: list[str] = []
        for worker in list(self._workers):
            try:
                await worker.destroy()
            except WorkerUnavailable as error:
                failed.append(str(error))
        self._doomed, self._free = self._doomed + self._free, []
        for slot in list(self._doomed):
            try:
                await slot.raze()
                self._doomed.remove(slot)
            except WorkerUnavailable as error:
                failed.append(str(error))
        if not failed:
            self._remove_roots()
            if self._care is not None:
                self._care.cancel()
                self._care = None
        if failed:
            raise WorkerUnavailable("; ".join(failed))

    def _take_back(self, worker: ProcessWorker, slot: Slot, clean: bool) -> None:
        self._workers.discard(worker)
        self._named.setdefault(worker.attempt, []).append(slot)
        if worker.attempt in self._unnamed:
            self._unnamed.discard(worker.attempt)
            self.forget(worker.attempt)
        if clean:
            self._free.append(slot)

    def _look_after(self) -> None:
        # First, that nothing which goes wrong below makes us forget somebody.
        self._care = asyncio.get_running_loop().call_later(CARE_S, self._look_after)
        for worker in list(self._workers):
            _warned(worker.look_after)
        self._doomed = [slot for slot in self._doomed if not _warned(slot.raze_once)]
        if not self._workers and not self._doomed:
            self._care.cancel()
            self._care = None

    def _take_care(self) -> None:
        if self._care is None:
            self._care = asyncio.get_running_loop().call_later(CARE_S, self._look_after)

    def _doom(self, slot: Slot) -> None:
        if not _warned(slot.raze_once):
            self._doomed.append(slot)
            self._take_care()

    def _open(self) -> Slot:
        number, self._next = self._next, self._next + 1
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            slot = Slot(
                os.path.join(self._folder, str(number)), self.mechanism, self._groups(f"slot-{number}")
            )
        except OSError as error:
            if lacks_room(error):
                raise
            raise WorkerUnavailable(f"a worker cannot be registered in {self._folder}: {error}") from error
        try:
            slot.open()
        except NotHeld:
            self._doom(slot)
            following = trees.MECHANISMS.index(self.mechanism) + 1
            if self._forced or following == len(trees.MECHANISMS):
                raise
            self._mechanism = choose_mechanism(self._where(), trees.MECHANISMS[following:])
            return self._open()
        except WorkerUnavailable:
            self._doom(slot)
            raise
        return slot

    def _groups(self, name: str) -> dict[str, str]:
        """The folder of a slot's group in each hierarchy that is needed, made or not."""
        return {hierarchy: f"{root}/{name}" for hierarchy, root in self._roots().items()}

    def _roots(self) -> dict[str, str]:
        """The folder of this agent's groups in each hierarchy that may be used."""
        layout = self._where()
        wanted = ["memory", "pids", "cpu"]
        if self.mechanism == "cgroup-v1":
            wanted.append("freezer")
        own = {name: getattr(layout, name) for name in wanted}
        own["unified"] = layout.unified
        return {
            name: f"{folder}/{self._instance}"
            for name, folder in own.items()
            if not cgroups.why_unusable(folder)
        }

    def _where(self) -> cgroups.Layout:
        if self._layout is None:
            self._layout = cgroups.discover()
        return self._layout

    def _files(self) -> list[str]:
        return [
            os.path.join(self._folder, name) for name in sorted(os.listdir(self._folder)) if name.isdigit()
        ]

    async def _clear_unregistered(self) -> None:
        """Groups of ours without a file: the file was lost with its disk, its processes were not."""
        for root in self._all_roots():
            try:
                names = [entry.name for entry in os.scandir(root) if entry.is_dir()]
            except FileNotFoundError:
                continue
            for name in names:
                groups = {hierarchy: f"{folder}/{name}" for hierarchy, folder in self._roots().items()}
                await _clear(SlotRecord(self.mechanism, groups, processes.boot_id()))
        self._remove_roots()

    def _all_roots(self) -> list[str]:
        layout = self._where()
        folders = [layout.unified, layout.freezer, layout.memory, layout.pids, layout.cpu]
        return [f"{folder}/{self._instance}" for folder in folders if folder]

    def _remove_roots(self) -> None:
        for root in self._all_roots():
            cgroups.remove(root)


def choose_mechanism(layout: cgroups.Layout, among: Sequence[str] = trees.MECHANISMS) -> str:
    """The best mechanism that works here.

    A PID namespace only as root: in a user namespace, which others need for it, `sudo` does not work in steps.
    """
    for name in among:
        if name == "pid-namespace" and os.geteuid() != 0:
            continue
        if not trees.why_unusable(name, layout):
            return name
    return "subreaper"


def _warned(call: Callable[[], T]) -> T | None:
    """What it returns; None when the kernel or the disk refused: it is called again."""
    try:
        return call()
    except OSError as error:
        logging.getLogger(__name__).warning(
            "a worker could not be cleared away: %s; it is tried again", error
        )
        return None


async def _clear(record: SlotRecord) -> None:
    tree = make_tree(record.mechanism, record.folders)
    await raze(record, lambda: clear_once(record, tree))
