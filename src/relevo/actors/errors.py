"""What can go wrong between actors."""

from __future__ import annotations

from relevo.domain.errors import RelevoError


class ActorDead(RelevoError):
    """The actor at `path` will not answer: it stopped, or was made anew and forgot the request. `reason` says which."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"actor {path} does not answer: {reason}")
        self.path = path
        self.reason = reason


class MailboxFull(RelevoError):
    """The mailbox of the actor at `path` holds `bound` messages already: send later, or wait with `send`."""

    def __init__(self, path: str, bound: int) -> None:
        super().__init__(f"the mailbox of actor {path} is full ({bound} messages)")
        self.path = path
        self.bound = bound


class NameTaken(RelevoError):
    """An actor of that path lives already."""

    def __init__(self, path: str) -> None:
        super().__init__(f"an actor {path} lives already")
        self.path = path


class Escalated(RelevoError):
    """A child failed in a way that its supervisor may not mend: the supervisor fails with it. The cause is chained."""

    def __init__(self, path: str, error: BaseException) -> None:
        super().__init__(f"actor {path} failed beyond what its supervisor may mend: {error!r}")
        self.path = path
        self.__cause__ = error
