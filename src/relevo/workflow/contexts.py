"""What an attempt is told of its run: the part of the contexts that is fixed before its first step."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from relevo.workflow.model import Value


class JobContexts(Struct, frozen=True):
    """Travels in `protocol.Assignment.contexts`; fields are only appended.

    On the encoding side a field may be a `msgspec.Raw` (the bytes of `encode_value`), so that what all jobs of a run
    share, above all `github`, is encoded once.
    """

    github: dict[str, Value]  #: without what only the agent knows (workspace, paths of command files)
    vars: dict[str, Value] = {}
    inputs: dict[str, Value] = {}
    needs: dict[str, Value] = {}  #: job id → {"result": …, "outputs": {…}}
    strategy: dict[str, Value] = {}  #: fail-fast, job-index, job-total, max-parallel
    matrix: dict[str, Value] | None = None  #: None: the job has no matrix
    job_name: str = ""  #: the leg's name
    env: dict[str, str] = {}  #: the run's own (`--env`), above what the workflow says
    masks: tuple[str, ...] = ()  #: texts, besides secrets, that must not show in logs


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(JobContexts)


def encode(contexts: JobContexts) -> bytes:
    """As msgpack."""
    return _encoder.encode(contexts)


def encode_value(value: Value) -> msgspec.Raw:
    """A field's value, encoded, to be put into many contexts."""
    return msgspec.Raw(_encoder.encode(value))


def decode(data: bytes) -> JobContexts:
    """Back from msgpack. Raises msgspec.DecodeError."""
    return _decoder.decode(data)


def strategy_context(fail_fast: bool, index: int, total: int, max_parallel: int | None) -> dict[str, Value]:
    """The `strategy` context of a leg."""
    return {
        "fail-fast": fail_fast,
        "job-index": index,
        "job-total": total,
        "max-parallel": max_parallel or total,
    }
