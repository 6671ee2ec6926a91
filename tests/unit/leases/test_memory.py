from __future__ import annotations

import pytest

from relevo.leases.contract import Holder
from relevo.leases.memory import MemoryLeases
from relevo.testing.contracts.leases import LeasesContract


class Place:
    def __init__(self) -> None:
        self._dead: set[str] = set()
        self._leases = MemoryLeases(lambda holder: holder.address not in self._dead)

    def leases(self) -> MemoryLeases:
        return self._leases

    def living(self, address: str) -> Holder:
        return Holder(1, 1, "boot", "host", 0, address)

    def dead(self, address: str) -> Holder:
        self._dead.add(address)
        return self.living(address)


class TestMemory(LeasesContract):
    @pytest.fixture
    def place(self) -> Place:
        return Place()
