"""Group fsync: while one round is at the disk, requests gather for the next. No timer; the slower the disk, the larger the groups."""

from __future__ import annotations

import errno
import os
from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from relevo.logs.blocking import RunBlocking
from relevo.logs.contract import LogUnavailable
from relevo.logs.framing import place
from relevo.logs.scan import Frame, scan
from relevo.logs.segments import RunLog, Segment, unavailable
from relevo.runtime.disk import AppendFile, Disk
from relevo.runtime.failpoints import reach

Done = Callable[[LogUnavailable | None], None]

#: Files are synced by so many threads: a journaling file system joins syncs that come at the same time
#: (500 new files on ext4: 190 ms one by one, 70 ms by four, 57 ms by sixteen).
SHARES: Final = 4


class _File(NamedTuple):
    segment: Segment
    file: AppendFile | None  #: None: open it for the sync
    size: int
    anew: bool  #: the kernel may take its pages for clean


class _Job(NamedTuple):
    """What makes a run durable as it is now. The worker reads nothing that the loop may change meanwhile."""

    run: RunLog
    upto: int
    files: list[_File]
    unnamed: bool
    new: bool
    refused: OSError | None  #: why it cannot be tried


class Syncer:
    """Makes the dirty runs durable, together."""

    def __init__(
        self,
        disk: Disk,
        root: str,
        loop: AbstractEventLoop,
        run_blocking: RunBlocking,
        settled: Callable[[], None],
    ) -> None:
        self._disk = disk
        self._root = root
        self._loop = loop
        self._run_blocking = run_blocking
        self._settled = settled
        self._dirty: dict[RunLog, None] = {}
        self._untold: dict[RunLog, None] = {}  #: made durable, but that could not be written down
        self._waiting: list[Done] = []
        self._round: list[Done] = []
        self._errors: dict[RunLog, OSError] = {}
        self._shares_left = 0
        self._root_named = False  #: the name of the root itself is durable
        self.idle = True

    def touch(self, run: RunLog) -> None:
        """The next round covers this run."""
        self._dirty[run] = None

    def covers(self, run: RunLog) -> bool:
        """Whether the next round syncs this run."""
        return run in self._dirty or run in self._untold

    def forget(self, run: RunLog) -> None:
        """The run is deleted."""
        self._dirty.pop(run, None)
        self._untold.pop(run, None)

    def request(self, done: Done) -> None:
        """Call `done` when all runs touched so far are durable."""
        self._waiting.append(done)
        if self.idle:
            self.idle = False
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._round, self._waiting = self._waiting, []
        for run in list(self._untold):
            self._tell(run)
        runs, self._dirty = self._dirty, {}
        jobs = [_job(run) for run in runs if run.dirty]
        shares = [share for share in (jobs[first::SHARES] for first in range(SHARES)) if share]
        self._shares_left = len(shares)
        if not shares:
            self._finish()
        root = self._root
        folders = [root] if self._root_named else [os.path.dirname(root), root]
        for share in shares:
            self._run_blocking(
                partial(_sync_share, self._disk, folders, share), partial(self._share_done, share)
            )

    def _share_done(
        self, share: list[_Job], errors: list[OSError | None] | None, fault: BaseException | None
    ) -> None:
        if fault is not None or errors is None:
            errors = [OSError(0, f"unexpected: {fault!r}")] * len(share)
        for job, error in zip(share, errors, strict=True):
            self._settle(job, error)
        self._shares_left -= 1
        if not self._shares_left:
            self._finish()

    def _settle(self, job: _Job, error: OSError | None) -> None:
        run = job.run
        run.in_sync = False
        if run.gone:
            run.release()
            return
        if error is not None:
            self._errors[run] = error
            run.failed = f"{run.folder}: could not be made durable: {error.strerror or error}"
            self._dirty[run] = None
            return
        run.failed = ""
        run.named = True
        self._root_named = True
        for segment, _, _, anew in job.files:
            segment.named = True
            if anew:
                segment.suspect = False
                segment.close()  # there is another file in its place
        run.synced(job.upto)
        self._tell(run)
        if run.dirty:
            self._dirty[run] = None

    def _tell(self, run: RunLog) -> None:
        if run.tell():
            self._untold.pop(run, None)
        else:
            self._untold[run] = None

    def _finish(self) -> None:
        error = next((unavailable(run.folder, error) for run, error in self._errors.items()), None)
        self._errors.clear()
        round_, self._round = self._round, []
        for done in round_:
            done(error)
        self._settled()
        if self._waiting:
            self._loop.call_soon(self._start)
        else:
            self.idle = True


def _job(run: RunLog) -> _Job:
    refused: OSError | None = None
    try:
        run.seal_earlier()
    except LogUnavailable as error:
        cause = error.__cause__
        refused = cause if isinstance(cause, OSError) else OSError(0, str(error))
    if run.segments[-1].suspect:
        try:
            run.seal()  # that no write comes between while it is written anew
        except LogUnavailable:
            pass  # writes are refused meanwhile
    run.in_sync = True
    files = [
        _File(segment, segment.file, segment.size, bool(run.failed) or segment.suspect)
        for segment in run.segments
        if place(segment.index, segment.size) > run.durable
    ]
    unnamed = any(not file.segment.named for file in files)
    return _Job(run, run.written, files, unnamed, not run.named, refused)


def _sync_share(disk: Disk, folders: list[str], share: list[_Job]) -> list[OSError | None]:
    """Make runs durable one after the other; an error concerns its run only."""
    folder_error: OSError | None = None
    if any(job.new for job in share):
        try:
            for folder in folders:
                disk.sync_folder(folder)
        except OSError as error:
            folder_error = error
    errors: list[OSError | None] = []
    for job in share:
        try:
            if job.new and folder_error is not None:
                raise folder_error
            _sync_job(disk, job)
            errors.append(None)
        except OSError as error:
            errors.append(error)
    return errors


def _sync_job(disk: Disk, job: _Job) -> None:
    reach("logs.before-sync")
    if job.refused is not None:
        raise job.refused
    for segment, file, size, anew in job.files:
        if anew:
            if not job.run.owns():
                raise OSError(errno.ESTALE, "another engine writes the logs now")
            _write_anew(disk, segment, size)
        elif file is not None:
            file.sync()
        else:
            opened = disk.append(segment.path, durable=False)
            try:
                opened.sync()
            finally:
                opened.close()
    if job.unnamed:
        disk.sync_folder(job.run.folder)


def _write_anew(disk: Disk, segment: Segment, size: int) -> None:
    """After a failed fsync the kernel takes the pages for clean: only writing them again makes them durable.

    Source: "Can applications recover from fsync failures?", Rebello et al., USENIX ATC 2020.
    """
    good = all(isinstance(item, Frame) for item in scan(disk, segment.path, size, segment.salt))
    if not good and not segment.damaged:
        raise OSError(0, "what was written can no longer be read; start again, senders will send it again")
    disk.replace(segment.path, disk.read(segment.path, 0, size))
