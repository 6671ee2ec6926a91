from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relevo.providers.contract import Command
from relevo.providers.process import ProcessProvider
from relevo.testing.contracts.providers import WorkerProviderContract

from .conftest import bash, fresh_provider

_WORDS = {
    "print": "echo {}",
    "print-bytes": "yes abcdefghijklmnopqrstuvwxyz | tr -d '\\n' | head -c {}",
    "exit": "exit {}",
    "signal": "kill -{} $$",
    "hang": "sleep 1000",
    "ignore-term": "trap '' INT TERM",
}


class ProcessContract(WorkerProviderContract):
    def command(self, *lines: str) -> Command:
        words = (line.partition(" ") for line in lines)
        return bash("\n".join(_WORDS[word].format(rest) for word, _, rest in words))

    def missing_program(self) -> Command:
        return Command(["not-found"], {"PATH": "/usr/bin:/bin"}, "/")


class TestProcess(ProcessContract):
    @pytest.fixture
    async def provider(self, state_dir: str, mechanism: str) -> AsyncIterator[ProcessProvider]:
        async with fresh_provider(state_dir, mechanism) as provider:
            yield provider
