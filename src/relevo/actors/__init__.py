"""Temporary."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

M = TypeVar("M")


class Context:
    __slots__ = ("paused", "ref")

    def __init__(self, ref: Any) -> None:
        self.ref = ref
        self.paused = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        if self.ref.mail:
            self.ref.system.ready(self.ref)


class Actor(Generic[M]):
    context: Any

    def receive(self, messages: list[M]) -> None: ...


class ActorRef(Generic[M]):
    def __init__(self, system: Any, actor: Any, name: str) -> None:
        self.system = system
        self.actor = actor
        self.name = name
        self.mail: list[Any] = []
        self.queued = False
        self.dead = False
        actor.context = Context(self)

    def tell(self, m: M) -> None:
        self.mail.append(m)
        if not self.queued and not self.actor.context.paused:
            self.system.ready(self)

    def stop(self) -> None:
        self.dead = True


class ActorSystem:
    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.q: Any = deque()
        self.scheduled = False

    def spawn(self, actor: Any, name: str) -> Any:
        return ActorRef(self, actor, name)

    def spawn_group(self, name: str) -> Any:
        return self

    def ready(self, ref: Any) -> None:
        if ref.queued:
            return
        ref.queued = True
        self.q.append(ref)
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self.run)

    def run(self) -> None:
        self.scheduled = False
        n = len(self.q)
        for _ in range(n):
            ref = self.q.popleft()
            ref.queued = False
            if ref.dead or ref.actor.context.paused:
                continue
            mail, ref.mail = ref.mail, []
            ref.actor.receive(mail)
        if self.q and not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self.run)

    async def shutdown(self) -> None: ...
    def tree(self) -> list[dict[str, Any]]:
        return []
