"""The reporter of one attempt: numbers and hashes its log, and spools what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from blake3 import blake3

from relevo.agent.spool import Intent
from relevo.protocol.messages import (
    Annotation,
    ArtifactSaved,
    AttemptFinished,
    AttemptStarted,
    AttemptStarting,
    LogBytes,
    StepFinished,
    StepStarted,
)

if TYPE_CHECKING:
    from relevo.agent.blobs import AgentBlobs
    from relevo.agent.spool import Spool
    from relevo.domain.ids import AttemptKey
    from relevo.runtime.clock import Clock

#: Log bytes in one record at most.
CHUNK_BYTES = 1 << 18


class AttemptReporter:
    """See `reporter.Reporter`."""

    __slots__ = ("_begun", "_blobs", "_clock", "_done", "_hash", "_key", "_offset", "_spool", "intended")

    def __init__(
        self,
        key: AttemptKey,
        spool: Spool,
        blobs: AgentBlobs,
        clock: Clock,
        done: Callable[[AttemptKey], None],
    ) -> None:
        self._key = key
        self._spool = spool
        self._blobs = blobs
        self._clock = clock
        self._done = done
        self._offset = 0
        self._hash: blake3 | None = None
        self._begun = False
        self.intended = False  #: a step that is not idempotent may have begun

    def starting(self) -> None:
        """The worker is being made, and that takes time: told once, and not when it is there already."""
        if self._begun:
            return
        self._begun = True
        self._spool.add(AttemptStarting(*self._key, self._clock.wall_ms()))

    def started(self) -> None:
        self._begun = True
        self._spool.add_lazily(AttemptStarted(*self._key, self._clock.wall_ms()))

    def step_started(self, step: int, name: str) -> None:
        self._spool.add_lazily(StepStarted(*self._key, step, name, self._clock.wall_ms()))

    def step_finished(
        self,
        step: int,
        name: str,
        *,
        outcome: str,
        conclusion: str,
        exit_code: int | None = None,
        message: str = "",
        summary: str = "",
    ) -> None:
        at_ms = self._clock.wall_ms()
        record = StepFinished(*self._key, step, name, outcome, conclusion, exit_code, at_ms, message, summary)
        self._spool.add(record, 100 + len(summary))

    def annotation(
        self,
        step: int,
        level: str,
        message: str,
        *,
        title: str = "",
        file: str = "",
        line: int = 0,
        column: int = 0,
    ) -> None:
        self._spool.add(
            Annotation(*self._key, step, level, message, title, file, line, column),
            100 + len(message),
        )

    def log(self, step: int, data: bytes) -> bool:
        if not data:
            return not self._spool.full
        digest = self._hash
        if digest is None:
            digest = self._hash = blake3()
        digest.update(data)
        at_ms = self._clock.wall_ms()
        for start in range(0, len(data), CHUNK_BYTES):
            part = data if len(data) <= CHUNK_BYTES else data[start : start + CHUNK_BYTES]
            self._spool.add(LogBytes(*self._key, self._offset, step, at_ms, part), 60 + len(part))
            self._offset += len(part)
        return not self._spool.full

    async def room(self) -> None:
        await self._spool.room()

    async def intend(self, step: int) -> None:
        self.intended = True
        await self._spool.intend(Intent(*self._key, step))

    def artifact(self, name: str, digest: str, size_bytes: int, files: int) -> None:
        self._spool.add(ArtifactSaved(*self._key, name, digest, size_bytes, files))

    def finished(
        self,
        result: str,
        *,
        outputs: dict[str, str] | None = None,
        message: str = "",
        exit_code: int | None = None,
    ) -> None:
        outputs = outputs or {}
        self._begun = True
        self._spool.add(
            AttemptFinished(
                *self._key,
                result,
                outputs,
                self._offset,
                self._hash.digest() if self._hash is not None else b"",
                self._clock.wall_ms(),
                message,
                result == "lost" and self.intended,
                exit_code,
            ),
            100 + sum(map(len, outputs.values())) if outputs else 100,
        )
        self._done(self._key)

    def get_blob(self, what: str) -> AsyncIterator[bytes]:
        return self._blobs.get(what)

    async def put_blob(self, chunks: AsyncIterator[bytes]) -> str:
        return await self._blobs.put(chunks)
