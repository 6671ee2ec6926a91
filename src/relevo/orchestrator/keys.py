"""Idempotency keys: what is asked twice with the same key is done once, and two different things are not taken for the same.

A fact `idempotency/<key>` holds the run that a key led to, and a digest of what was asked with it. It is stored with the run, and
removed with it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from blake3 import blake3

from relevo.domain.errors import UserError
from relevo.orchestrator.api import Submission
from relevo.store.contract import Fact

PREFIX: Final = "idempotency/"
_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode


class KeyUsed(UserError):
    """The key was used before, to ask for something else."""

    def __init__(self, key: str, run: str) -> None:
        super().__init__(
            f"the idempotency key {key!r} was used to ask for something else: run {run}",
            hint="ask for the same again, or with another key",
        )
        self.run = run


def submitted(submission: Submission) -> str:
    """A digest of all that a submission asks for.

    Values of secrets are left out, since even a digest tells something of them to who may guess; so is the trace that it is part of,
    which may differ when it is asked for once more. What is not said does not count: who asks again may meet a later version, which
    knows of more that could be.
    """
    asked = msgspec.structs.replace(
        submission,
        run="",
        idempotency_key=None,
        directory="" if submission.treeless else submission.directory,
        secrets=dict.fromkeys(submission.secrets, ""),
        traceparent="",
        tracestate="",
    )
    return _digest({name: said for name in asked.__struct_fields__ if (said := getattr(asked, name))})


def retried(run: str, *, failed: bool, job: str | int | None, secrets: dict[str, str] | None) -> str:
    """A digest of all that a retry asks for, but for values of secrets."""
    return _digest(("retry", run, failed, job, sorted(secrets or ())))


def _digest(asked: Any) -> str:
    return blake3(_encode(asked)).hexdigest(length=16)


def fact_of(key: str, run: str, asked: str) -> Fact:
    """What is stored with the run that a key leads to."""
    return Fact(PREFIX + key, f"{run} {asked}".encode(), if_absent=True)


def run_of(value: bytes) -> str:
    """The run that a key led to, by the value of its fact."""
    return value.decode().partition(" ")[0]


def same(key: str, value: bytes, asked: str) -> str:
    """The run that a key led to. Raises KeyUsed when something else was asked then.

    Versions that did not look at it stored no digest; `asked` "" stands for anything.
    """
    run, _, before = value.decode().partition(" ")
    if before and asked and before != asked:
        raise KeyUsed(key, run)
    return run
