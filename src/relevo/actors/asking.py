"""The futures behind requests."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from relevo.actors.messages import Asks

R = TypeVar("R")


def answer_to(request: Asks[Any, R], loop: AbstractEventLoop) -> Future[R]:
    """The future that gets the answer to `request`, from now on. Raises ValueError when it has one already."""
    held = request.__dict__
    if held:
        raise ValueError(f"{request!r} is being asked already: ask with a fresh instance")
    future: Future[R] = Future(loop=loop)
    held["future"] = future
    return future


def limit_answer(future: Future[Any], loop: AbstractEventLoop, timeout_s: float, path: str) -> None:
    """Let `future` fail with TimeoutError when there is no answer in time."""

    def expire() -> None:
        if not future.done():
            future.set_exception(TimeoutError(f"actor {path} did not answer within {timeout_s} s"))

    timer = loop.call_later(timeout_s, expire)
    future.add_done_callback(lambda _: timer.cancel())
