"""Which agents take nothing new, because somebody said so. It is kept in the store: an engine that starts goes by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct, msgpack

from relevo.runtime.clock import Clock
from relevo.store.contract import EventStore, Fact

PREFIX: Final = "drained/"


class Drain(Struct, frozen=True, array_like=True):
    """Why an agent takes nothing new, and since when."""

    reason: str = ""
    since_ms: int = 0


class Drains:
    """The agents that are drained, by id."""

    def __init__(self, store: EventStore, clock: Clock, effect: Callable[[str, bool, str], None]) -> None:
        """`effect`: gets what is stored: agent, whether it is drained, why."""
        self._store = store
        self._clock = clock
        self._effect = effect
        self.agents: dict[str, Drain] = {}

    async def load(self) -> None:
        """Before agents connect. Raises StoreUnavailable, DamagedError."""
        for key, value in await self._store.facts(PREFIX):
            self.agents[key.removeprefix(PREFIX)] = msgpack.decode(value, type=Drain)

    async def drain(self, agent: str, reason: str) -> None:
        """It takes nothing new from now on; what it has goes on. Durable on return. Said again, it has the new reason.

        Raises StoreUnavailable.
        """
        known = self.agents.get(agent)
        drain = Drain(reason, known.since_ms if known is not None else self._clock.wall_ms())
        await self._store.put_facts([Fact(PREFIX + agent, msgpack.encode(drain))])
        self.agents[agent] = drain
        self._effect(agent, True, reason)

    async def undrain(self, agent: str) -> None:
        """It takes jobs again. Without effect when it does. Raises StoreUnavailable."""
        if agent in self.agents:
            await self._store.put_facts([Fact(PREFIX + agent, None)])
            self.agents.pop(agent, None)
            self._effect(agent, False, "")
