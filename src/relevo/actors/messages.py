"""Messages that the kernel itself knows: requests, signals, dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from asyncio import Future

R = TypeVar("R")
R_inv = TypeVar("R_inv")
S = TypeVar("S", bound="Request[Any]")
Q_co = TypeVar("Q_co", covariant=True)


class Request(Struct, Generic[R], frozen=True, dict=True):
    """A message that wants an `R` back. Subclass it: `class Depth(Request[int], frozen=True): ...`.

    Whoever received it answers once, at any later moment, with `reply` or `fail`; a second answer, and one to a
    request that was told and not asked, goes nowhere. Ask with a fresh instance each time.
    """

    def reply(self, value: R) -> None:
        """Answer it."""
        future = self._answer()
        if future is not None:
            future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Answer it with an error, which is raised at the asker."""
        future = self._answer()
        if future is not None:
            future.set_exception(error)

    @property
    def answered(self) -> bool:
        """Whether it was asked, and is answered or given up by its asker."""
        future = self.__dict__.get("future")
        return future is not None and future.done()

    @property
    def asked(self) -> Future[Any] | None:
        """The future that gets the answer; None when it was only told."""
        return self.__dict__.get("future")

    def _answer(self) -> Future[Any] | None:
        """The future that waits, if one does."""
        held = self.__dict__
        if not held:
            return None
        future: Future[Any] = held["future"]
        if "asks" in held:
            held["asks"].discard(future)
        return None if future.done() else future

    # The two below exist for the type checker alone: they tie a request to the actors that take it and to its answer.
    def as_message(self: S) -> S:
        """The request itself."""
        return self

    def answer_type(self) -> R:
        """Never called."""
        raise NotImplementedError


class Asks(Protocol[Q_co, R_inv]):
    """A request, seen as a message of type Q whose answer is an R."""

    def as_message(self) -> Q_co: ...

    def answer_type(self) -> R_inv: ...

    def reply(self, value: R_inv) -> None: ...


class Terminated(Struct, frozen=True):
    """A watched actor is gone for good."""

    path: str
    reason: str  #: `stopped`, `passivated`, `failed`
    error: BaseException | None = None  #: why it failed


class DeadLetter(Struct, frozen=True):
    """A message that nobody handled."""

    path: str  #: of the actor that it was meant for
    message: object
    reason: str  #: `dead` (the actor was gone), `unhandled` (it went before it came to it), `poison` (handling it raised)
    error: BaseException | None = None
