from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relevo.cli.ordering import HELD_LIMIT, Ordering
from tests.unit.cli.fake import step_finished, step_started


def started(step: int) -> dict[str, object]:
    return step_started("build", step, f"step {step}")


def finished(step: int) -> dict[str, object]:
    return step_finished("build", step, f"step {step}")


def test_bytes_wait_for_their_steps_start() -> None:
    ordering = Ordering()
    assert ordering.bytes(0, b"early") == []
    assert ordering.event(started(0)) == [started(0), (0, b"early")]


def test_an_end_waits_for_bytes_of_a_later_step() -> None:
    ordering = Ordering()
    ordering.event(started(0))
    assert ordering.event(finished(0)) == []
    assert ordering.bytes(0, b"late") == [(0, b"late")]
    assert ordering.event(started(1)) == []
    assert ordering.bytes(1, b"next") == [finished(0), started(1), (1, b"next")]


def test_a_quiet_log_ends_the_wait() -> None:
    ordering = Ordering()
    ordering.event(started(0))
    ordering.event(finished(0))
    assert ordering.waits
    assert ordering.quiet() == [finished(0)]
    assert not ordering.waits


def test_held_bytes_are_bounded() -> None:
    ordering = Ordering()
    shown = sum(
        len(item[1])
        for _ in range(64)
        for item in ordering.bytes(3, b"x" * 65_536)
        if isinstance(item, tuple)
    )
    assert shown >= 64 * 65_536 - HELD_LIMIT - 65_536


@given(st.data(), st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_each_step_is_told_from_its_start_to_its_end(data: st.DataObject, frames: list[int]) -> None:
    """However the two ways overtake each other: nothing is lost, and each step's bytes lie between its start and its end."""
    events = [made(step) for step in range(len(frames)) for made in (started, finished)]
    log = [(step, f"{step}.{n}".encode()) for step, count in enumerate(frames) for n in range(count)]
    ordering = Ordering()
    shown: list[object] = []
    while events or log:
        if events and (not log or data.draw(st.booleans())):
            shown += ordering.event(events.pop(0))
        else:
            shown += ordering.bytes(*log.pop(0))
    shown += ordering.ended()

    expected: list[object] = []
    for step, count in enumerate(frames):
        expected += [started(step), *((step, f"{step}.{n}".encode()) for n in range(count)), finished(step)]
    assert shown == expected
