"""A concurrency group: of the runs and jobs that are its members, one is at work at a time.

    ask ──► waiting ──► holding ──► (leaving) ──► release
                 └────► refused ────────────────► release

Pure, as the rest: `handle(group, command) -> events`, `evolve(group, event)`. Members are named by run and job; job -1 is
the run itself. Asking and releasing are idempotent: who is a member already makes no event, nor who is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from relevo.domain.errors import InvalidTransition
from relevo.domain.events import GroupAsk
from relevo.domain.states import MemberStatus
from relevo.domain.tables import MEMBER

#: The job of a member that is a run.
RUN: Final = -1
#: How many wait in a group with `queue: max` at most (GitHub's limit).
QUEUE_LIMIT: Final = 100


class Key(NamedTuple):
    """Who asks."""

    run: str
    job: int


# --- what has happened to a group: stored, so fields are only appended, and tags never used again -----------------


class Asked(Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A new member."""

    run: str
    job: int
    who: str  #: for people: `run …` or `job … of run …`
    name: str  #: of the group, as this member says it
    at_ms: int = 0


class Granted(Struct, frozen=True, array_like=True, gc=False, tag=2):
    """A member is at work from now on."""

    run: str
    job: int
    at_ms: int = 0


class Ousted(Struct, frozen=True, array_like=True, gc=False, tag=3):
    """The member at work is to end: somebody asked with `cancel-in-progress`."""

    run: str
    job: int
    reason: str


class Refused(Struct, frozen=True, array_like=True, gc=False, tag=4):
    """A member waits in vain."""

    run: str
    job: int
    reason: str


class Released(Struct, frozen=True, array_like=True, gc=False, tag=5):
    """It is no member any more."""

    run: str
    job: int


GroupEvent = Asked | Granted | Ousted | Refused | Released

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[GroupEvent]] = msgspec.msgpack.Decoder(list[GroupEvent])


def encode(events: list[GroupEvent]) -> bytes:
    """The events of one append as one blob."""
    return _encoder.encode(events)


def decode(blob: bytes) -> list[GroupEvent]:
    """Back from a blob. Raises msgspec.DecodeError or ValidationError on bytes that are none."""
    return _decoder.decode(blob)


# --- what is asked of a group -------------------------------------------------------------------------------------


class Ask(Struct, frozen=True, gc=False):
    """A run or a job wants to be at work. `deadlock`: why it never could; "" when it can."""

    run: str
    job: int
    ask: GroupAsk
    who: str
    deadlock: str = ""
    at_ms: int = 0


class Release(Struct, frozen=True, gc=False):
    """It has ended, or does not want to begin any more."""

    run: str
    job: int
    at_ms: int = 0


GroupCommand = Ask | Release


# --- the state ----------------------------------------------------------------------------------------------------


class Member:
    """A run or a job that asked."""

    __slots__ = ("key", "name", "reason", "since_ms", "status", "who")

    def __init__(self, event: Asked) -> None:
        self.key = Key(event.run, event.job)
        self.who = event.who
        self.name = event.name
        self.status = MemberStatus.WAITING
        self.since_ms = event.at_ms  #: since when it is what it is
        self.reason = ""  #: why it is leaving or refused


class Group:
    """A group, as its events tell it. `members` are in the order in which they asked."""

    __slots__ = ("holder", "members")

    def __init__(self) -> None:
        self.members: dict[Key, Member] = {}
        self.holder: Member | None = None

    @property
    def waiting(self) -> list[Member]:
        """Who waits, the next one first."""
        return [member for member in self.members.values() if member.status is MemberStatus.WAITING]


# --- decide -------------------------------------------------------------------------------------------------------


def handle(group: Group, command: GroupCommand) -> list[GroupEvent]:
    """Decide, and let it happen; returns the events in order. They must be stored before anyone is told."""
    events = _ask(group, command) if isinstance(command, Ask) else _release(group, command)
    for event in events:
        evolve(group, event)
    return events


def _ask(group: Group, command: Ask) -> list[GroupEvent]:
    run, job, ask = command.run, command.job, command.ask
    if Key(run, job) in group.members:
        return []
    asked = Asked(run, job, command.who, ask.name, command.at_ms)
    holder, waiting = group.holder, group.waiting
    if command.deadlock:
        return [asked, Refused(run, job, command.deadlock)]
    if holder is None:
        return [asked, Granted(run, job, command.at_ms)]
    if ask.queues and not ask.cancel:
        if len(waiting) < QUEUE_LIMIT:
            return [asked]
        return [asked, Refused(run, job, f"{QUEUE_LIMIT} wait for concurrency group '{ask.name}' already")]
    events: list[GroupEvent] = []
    for other in waiting:
        reason = f"{command.who} took its place: one at most waits for concurrency group '{ask.name}'"
        events.append(Refused(*other.key, reason))
    if ask.cancel and holder.status is MemberStatus.HOLDING:
        reason = f"{command.who} asked for concurrency group '{ask.name}' with cancel-in-progress"
        events.append(Ousted(*holder.key, reason))
    return [*events, asked]


def _release(group: Group, command: Release) -> list[GroupEvent]:
    key = Key(command.run, command.job)
    member = group.members.get(key)
    if member is None:
        return []
    events: list[GroupEvent] = [Released(*key)]
    waiting = group.waiting
    if member is group.holder and waiting:
        events.append(Granted(*waiting[0].key, command.at_ms))
    return events


# --- evolve -------------------------------------------------------------------------------------------------------


def evolve(group: Group, event: GroupEvent) -> None:
    """Let `event` happen. Raises InvalidTransition when it cannot."""
    _EVOLVE[type(event)](group, event)


def replay(events: Iterable[GroupEvent], group: Group | None = None) -> Group:
    """A group from its events."""
    group = group or Group()
    for event in events:
        evolve(group, event)
    return group


def _asked(group: Group, event: Asked) -> None:
    key = Key(event.run, event.job)
    if key in group.members:
        raise InvalidTransition(_named(key), group.members[key].status, "asked")
    group.members[key] = Member(event)


def _moved(group: Group, event: Granted | Ousted | Refused, target: MemberStatus) -> Member:
    key = Key(event.run, event.job)
    member = group.members.get(key)
    if member is None or target not in MEMBER[member.status]:
        raise InvalidTransition(_named(key), str(member and member.status), target)
    member.status = target
    return member


def _granted(group: Group, event: Granted) -> None:
    if group.holder is not None:
        raise InvalidTransition(
            _named(group.holder.key), "holding", f"{_named(Key(event.run, event.job))} too"
        )
    group.holder = member = _moved(group, event, MemberStatus.HOLDING)
    member.since_ms = event.at_ms


def _ousted(group: Group, event: Ousted) -> None:
    _moved(group, event, MemberStatus.LEAVING).reason = event.reason


def _refused(group: Group, event: Refused) -> None:
    _moved(group, event, MemberStatus.REFUSED).reason = event.reason


def _released(group: Group, event: Released) -> None:
    key = Key(event.run, event.job)
    member = group.members.pop(key, None)
    if member is None:
        raise InvalidTransition(_named(key), "none", "released")
    if member is group.holder:
        group.holder = None


def _named(key: Key) -> str:
    return f"member {key.job} of run {key.run}"


_EVOLVE: Final[dict[type, Callable[[Group, Any], None]]] = {
    Asked: _asked,
    Granted: _granted,
    Ousted: _ousted,
    Refused: _refused,
    Released: _released,
}
