"""Blobs that somebody is about to name."""

from __future__ import annotations

from relevo.blobs.fresh import KEEP_S, Fresh


def test_what_was_put_is_fresh_for_a_day_after_somebody_relied_on_it_last() -> None:
    now = 0.0
    fresh = Fresh(lambda: now)
    fresh.add("one")
    fresh.add("other")
    now = KEEP_S
    assert "one" in fresh
    assert "unknown" not in fresh
    fresh.add("one")
    now = KEEP_S + 1
    assert "one" in fresh
    assert "other" not in fresh


def test_what_is_old_does_not_pile_up() -> None:
    now = 0.0
    fresh = Fresh(lambda: now)
    for number in range(100):
        fresh.add(f"old-{number}")
    now = KEEP_S + 1
    for number in range(60):
        fresh.add(f"new-{number}")
    assert len(fresh._since) == 60
