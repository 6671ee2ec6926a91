"""The client of a living engine: `api.EngineApi` over the engine's socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from relevo.domain.errors import InfrastructureError, UserError
from relevo.logs.contract import LogFrame
from relevo.orchestrator.api import (
    AgentView,
    LogLines,
    LogMatches,
    LogState,
    QueueView,
    RowChanges,
    Submission,
    Wait,
)
from relevo.protocol import control
from relevo.protocol.artifacts import ListedArtifact
from relevo.protocol.framing import FrameReader, frame
from relevo.protocol.messages import decoder, encode
from relevo.runtime.patience import answered
from relevo.runtime.processes import ProcessIdentity, identity
from relevo.store.contract import RunRow

_decoder = decoder(control.ToClient)


class EngineGone(InfrastructureError):
    """The engine went away while it was asked."""


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._reader = FrameReader()
        self._transport: Any = None
        self._numbers = 0
        self.answers: dict[int, asyncio.Queue[Any]] = {}
        self.lost = False
        self.left = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    @property
    def engine(self) -> ProcessIdentity | None:
        """The process behind the socket; None when there is none, or none that can be seen from here."""
        connected = None if self._transport is None else self._transport.get_extra_info("socket")
        if connected is None:
            return None
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        try:
            return identity(struct.unpack("3i", credentials)[0])
        except ProcessLookupError:
            return None

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self.left.set()
        for queue in self.answers.values():
            queue.put_nowait(EngineGone("the engine went away"))

    def data_received(self, data: bytes) -> None:
        for payload in self._reader.feed(data):
            message = _decoder.decode(payload)
            queue = self.answers.get(message.number)
            if queue is not None:
                queue.put_nowait(message)

    def call(self, method: str, arguments: dict[str, Any]) -> int:
        if self.lost:
            raise EngineGone("the engine went away")
        self._numbers += 1
        self.answers[self._numbers] = asyncio.Queue()
        plain = msgspec.to_builtins(arguments, builtin_types=(bytes,))
        self._transport.write(frame(encode(control.Call(self._numbers, method, plain))))
        return self._numbers

    def stop(self, number: int) -> None:
        if not self.lost:
            self._transport.write(frame(encode(control.Stop(number))))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Client:
    """An engine that lives in another process. Any call may raise EngineGone."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    @property
    def gone(self) -> bool:
        """Whether the engine has hung up."""
        return self._connection.lost

    @property
    def left(self) -> asyncio.Event:
        """Set when the engine has hung up."""
        return self._connection.left

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    async def _call(self, method: str, **arguments: Any) -> Any:
        async for value in self._answers(method, arguments):
            return value
        return None

    async def _answers(self, method: str, arguments: dict[str, Any]) -> AsyncIterator[Any]:
        connection = self._connection
        number = connection.call(method, arguments)
        known = control.METHODS[method]
        ended = False
        try:
            while True:
                message = await connection.answers[number].get()
                if isinstance(message, EngineGone):
                    ended = True
                    raise message
                if isinstance(message, control.Failed):
                    ended = True
                    if message.kind == "user":
                        raise UserError(message.message, hint=message.hint)
                    raise InfrastructureError(f"the engine failed: {message.message}")
                ended = isinstance(message, control.Done)
                if not ended or not known.streams:
                    value = message.value
                    yield _typed(value, known.result)
                if ended:
                    return
        finally:
            connection.answers.pop(number, None)
            if not ended:
                connection.stop(number)

    async def submit(self, submission: Submission) -> str:
        return str(await self._call("submit", submission=submission))

    def events(
        self, run: str, after: int = 0, *, follow: bool = True, past_holds: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        asked = {"run": run, "after": after, "follow": follow}
        # An engine that knows no holds to pass is asked as it always was.
        return self._answers("events", {**asked, "past_holds": True} if past_holds else asked)

    def log(
        self,
        run: str,
        job: str | int,
        *,
        attempt: int | None = None,
        start: int = 0,
        follow: bool = False,
    ) -> AsyncIterator[LogFrame]:
        arguments = {"run": run, "job": job, "attempt": attempt, "start": start, "follow": follow}
        return self._answers("log", arguments)

    async def log_state(self, run: str, job: str | int, *, attempt: int | None = None) -> LogState:
        found: LogState = await self._call("log_state", run=run, job=job, attempt=attempt)
        return found

    async def log_lines(self, run: str, job: str | int, **asked: Any) -> LogLines:
        found: LogLines = await self._call("log_lines", run=run, job=job, **asked)
        return found

    async def log_search(self, run: str, job: str | int, **asked: Any) -> LogMatches:
        found: LogMatches = await self._call("log_search", run=run, job=job, **asked)
        return found

    async def accepted_as(self, key: str, asked: str = "") -> str | None:
        found: str | None = await self._call("accepted_as", key=key, asked=asked)
        return found

    def rows(self, after: int | None = None) -> AsyncIterator[RowChanges]:
        return self._answers("rows", {"after": after})

    async def artifacts(self, run: str) -> list[ListedArtifact]:
        found: list[ListedArtifact] = await self._call("artifacts", run=run)
        return found

    def artifact(self, run: str, name: str) -> AsyncIterator[bytes]:
        return self._answers("artifact", {"run": run, "name": name})

    async def workers(self) -> list[AgentView]:
        found: list[AgentView] = await self._call("workers")
        return found

    async def queue(self, *, limit: int = 100) -> QueueView:
        found: QueueView = await self._call("queue", limit=limit)
        return found

    async def cancel(self, run: str, *, force: bool = False) -> None:
        await self._call("cancel", run=run, force=force)

    async def retry(
        self,
        run: str,
        *,
        failed: bool = False,
        job: str | int | None = None,
        secrets: dict[str, str] | None = None,
        idempotency_key: str | None = None,
        traceparent: str = "",
        tracestate: str = "",
    ) -> str:
        asked = {"run": run, "failed": failed, "job": job, "secrets": secrets}
        if traceparent:  # an engine that knows no traces of retries is asked as it always was
            asked |= {"traceparent": traceparent, "tracestate": tracestate}
        return str(await self._call("retry", **asked, idempotency_key=idempotency_key))

    async def fail(self, run: str, *, job: str | int) -> None:
        await self._call("fail", run=run, job=job)

    async def drain(self, agent: str, *, reason: str = "") -> None:
        await self._call("drain", agent=agent, reason=reason)

    async def undrain(self, agent: str) -> None:
        await self._call("undrain", agent=agent)

    async def delivered(self, run: str) -> None:
        await self._call("delivered", run=run)

    async def runs(
        self, *, live: bool | None = None, limit: int = 50, before: str | None = None
    ) -> list[RunRow]:
        found: list[RunRow] = await self._call("runs", live=live, limit=limit, before=before)
        return found

    async def why(self, run: str, job: str | None = None) -> list[Wait]:
        found: list[Wait] = await self._call("why", run=run, job=job)
        return found

    async def find(self, prefix: str) -> RunRow:
        found: RunRow = await self._call("find", prefix=prefix)
        return found

    async def prune(self, **limits: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self._call("prune", **limits)
        return found

    async def ping(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._call("ping")
        return found

    async def actors(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._call("actors")
        return found

    async def metrics(self) -> str:
        return str(await self._call("metrics"))


def _typed(value: Any, kind: Any) -> Any:
    if kind is None:
        return value
    if kind is LogFrame:
        # Its data is bytes or a view of some: msgspec converts to no such union.
        return LogFrame(*value)
    return msgspec.convert(value, kind)


async def connect(path: str, loop: asyncio.AbstractEventLoop, *, quiet_s: float = 2.0) -> Client | None:
    """A client of the engine that answers at a socket; None when nobody does: there is none, or it shows no sign of life
    for `quiet_s` (`runtime.patience`)."""
    connection = _Connection()

    async def ask() -> Client:
        await loop.create_unix_connection(lambda: connection, path)
        client = Client(connection)
        await client.ping()
        return client

    try:
        return await answered(ask(), lambda: connection.engine, quiet_s)
    except (OSError, TimeoutError, EngineGone):
        connection.close()
        return None
