"""Services start in order, stop in the other, and always stop."""

from __future__ import annotations

import asyncio

import pytest

from relevo.runtime.services import ServiceGroup, Started
from relevo.testing.virtual_loop import run_virtual


class Journal:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def service(self, name: str, *, fails: str = "", hangs: bool = False) -> Started:
        async def step(what: str) -> None:
            if what == fails:
                raise OSError(name)
            if hangs and what == "stop":
                await asyncio.sleep(1_000)
            self.lines.append(f"{what} {name}")

        return Started(name, lambda: step("start"), lambda: step("stop"))


def test_in_order_and_back() -> None:
    async def main() -> None:
        journal = Journal()
        group = ServiceGroup("all", [journal.service(name) for name in "abc"])
        await group.stop()  # not started: nothing
        await group.start()
        assert group.started.is_set()
        with pytest.raises(RuntimeError, match="started already"):
            await group.start()
        await asyncio.gather(group.stop(), group.stop())
        await group.stop()
        assert not group.started.is_set()
        assert journal.lines == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]
        await group.start()
        await group.stop()
        assert len(journal.lines) == 12

    run_virtual(main())


def test_who_started_is_stopped_when_a_later_one_does_not() -> None:
    async def main() -> None:
        journal = Journal()
        services = [journal.service("a"), journal.service("b", fails="start"), journal.service("c")]
        group = ServiceGroup("all", services)
        with pytest.raises(OSError, match="b"):
            await group.start()
        assert journal.lines == ["start a", "stop a"]
        assert not group.started.is_set()

    run_virtual(main())


def test_a_stop_that_fails_or_hangs_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        journal = Journal()
        services = [
            journal.service("a"),
            journal.service("b", fails="stop"),
            journal.service("c", hangs=True),
        ]
        group = ServiceGroup("all", services, stop_s=5.0)
        await group.start()
        await group.stop()
        assert asyncio.get_running_loop().time() == 5.0
        assert journal.lines[3:] == ["stop a"]

    run_virtual(main())
    assert "c did not stop within 5 s" in caplog.text
    assert "b failed to stop" in caplog.text


def test_stopping_goes_on_when_the_caller_is_cancelled() -> None:
    async def main() -> None:
        journal = Journal()
        group = ServiceGroup("all", [journal.service("a"), journal.service("b", hangs=True)], stop_s=5.0)
        await group.start()
        stopping = asyncio.ensure_future(group.stop())
        await asyncio.sleep(1)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        await asyncio.sleep(10)
        assert journal.lines[-1] == "stop a"

    run_virtual(main())


def test_a_single_service_is_started_once() -> None:
    async def main() -> None:
        service = Journal().service("a")
        await service.start()
        with pytest.raises(RuntimeError, match="a is started already"):
            await service.start()
        await service.stop()
        await service.stop()

    run_virtual(main())
