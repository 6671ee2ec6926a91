"""What becomes of an actor that failed: rules only, no actor is touched here.

After Erlang/OTP's supervisors: strategies, and restart intensity. What differs: one-for-one counts restarts for each
child, so that one bad run among thousands does not exhaust the allowance of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, TypeVar

from msgspec import Struct

C = TypeVar("C")


class Strategy(Enum):
    """Whom a failure concerns."""

    ONE_FOR_ONE = "one-for-one"  #: the failed child alone
    ONE_FOR_ALL = "one-for-all"  #: all children: they depend on each other
    REST_FOR_ONE = "rest-for-one"  #: the failed one and those started after it: they depend on it


class Directive(Enum):
    """What is done about a failure."""

    RESTART = "restart"
    STOP = "stop"
    ESCALATE = "escalate"


def always_restart(error: BaseException) -> Directive:
    """The usual verdict."""
    return Directive.RESTART


class Supervision(Struct, frozen=True):
    """How an actor watches over its children."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    max_restarts: int = 5  #: more than this many restarts …
    within_s: float = 30.0  #: … in this time are not mended by another one
    exceeded: Directive = Directive.ESCALATE  #: what is done then: STOP the child, or ESCALATE
    backoff_s: float = (
        0.05  #: pause before the first restart; doubled with each further one within `within_s`
    )
    max_backoff_s: float = 5.0
    decide: Callable[[BaseException], Directive] = always_restart


DEFAULT: Final = Supervision()


class Verdict(Struct, frozen=True):
    """What to do about one failure."""

    directive: Directive
    delay_s: float = 0.0  #: before a restart
    history: tuple[float, ...] = ()  #: times of restarts within the window, this one included


def judge(
    supervision: Supervision,
    error: BaseException,
    history: tuple[float, ...],
    now: float,
    *,
    restartable: bool = True,
) -> Verdict:
    """Decide about a failure at loop time `now`, restarts having happened at the times in `history`.

    A child that cannot be made anew (`restartable=False`) has exhausted its allowance from the beginning.
    """
    directive = supervision.decide(error)
    if directive is not Directive.RESTART:
        return Verdict(directive)
    recent = tuple(at for at in history if now - at < supervision.within_s)
    if not restartable or len(recent) >= supervision.max_restarts:
        return Verdict(supervision.exceeded)
    delay_s = min(supervision.max_backoff_s, supervision.backoff_s * 2.0 ** len(recent))
    return Verdict(Directive.RESTART, delay_s, (*recent, now))


def concerned(strategy: Strategy, children: Sequence[C], failed: C) -> list[C]:
    """Those of `children` (in order of start) that are restarted with `failed`, in order of start."""
    if strategy is Strategy.ONE_FOR_ONE:
        return [failed]
    if strategy is Strategy.ONE_FOR_ALL:
        return list(children)
    return list(children[children.index(failed) :])
