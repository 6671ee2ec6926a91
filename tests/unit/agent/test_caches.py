from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from relevo.agent.caches import Caches, Entry, Scope

MAIN = Scope("team/thing", ("refs/heads/main",))
FEATURE = Scope("team/thing", ("refs/heads/feature", "refs/heads/main"))
DAY_S = 86_400.0


@pytest.fixture
def caches(tmp_path: Path) -> Caches:
    return Caches(str(tmp_path / "caches"))


def save(
    caches: Caches,
    key: str,
    *,
    data: bytes = b"",
    scope: Scope = MAIN,
    version: str = "v",
    at: int = 0,
) -> bool:
    written = caches.new()
    data = data or key.encode()
    Path(written).write_bytes(data)
    digest = f"{hash(data) & 0xFFFFFFFF:x}"
    return caches.add(
        Entry(key, version, scope.repository, scope.refs[0], digest, len(data), at),
        written,
    )


def found(caches: Caches, key: str, *restore: str, scope: Scope = MAIN, version: str = "v") -> str | None:
    entry = caches.find(scope, version, key, restore)
    return entry.key if entry else None


def test_the_exact_key_wins_then_the_newest_that_begins_so(caches: Caches) -> None:
    for at, key in enumerate(["npm-linux-1", "npm-linux-3", "npm-linux-2", "npm-old"], start=1):
        assert save(caches, key, at=at)
    assert found(caches, "npm-linux-1") == "npm-linux-1"
    assert found(caches, "npm-linux-9") is None
    assert found(caches, "npm-linux-") == "npm-linux-2", "the key itself may be a beginning"
    assert found(caches, "npm-linux-9", "npm-linux-", "npm-") == "npm-linux-2"
    assert found(caches, "npm-linux-9", "nothing", "npm-") == "npm-old"


def test_other_paths_and_repositories_do_not_match(caches: Caches) -> None:
    save(caches, "k")
    assert found(caches, "k", "k", version="other") is None
    assert found(caches, "k", "k", scope=Scope("team/other", MAIN.refs)) is None


def test_a_branch_sees_its_own_first_then_the_default_ones(caches: Caches) -> None:
    save(caches, "k-1", at=2)
    save(caches, "k-2", at=1, scope=FEATURE)
    assert found(caches, "k-1", "k-", scope=FEATURE) == "k-2", "all keys are tried in a branch first"
    assert found(caches, "k-1", scope=FEATURE) == "k-1"
    assert found(caches, "k-2", "k-") == "k-1", "the default branch does not see the feature's"
    assert caches.get(FEATURE, "v", "k-1") is None


def test_a_key_is_saved_once(caches: Caches) -> None:
    assert save(caches, "k", data=b"first")
    assert not save(caches, "k", data=b"second")
    entry = caches.find(MAIN, "v", "k")
    assert entry is not None
    assert Path(caches.archive(entry)).read_bytes() == b"first"


def test_of_many_at_once_exactly_one_wins_and_it_is_whole(caches: Caches) -> None:
    won: list[int] = []
    gate = threading.Barrier(8)

    def race(number: int) -> None:
        gate.wait()
        if save(caches, "k", data=bytes([number]) * 100_000):
            won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    entry = caches.find(MAIN, "v", "k")
    assert entry is not None
    assert Path(caches.archive(entry)).read_bytes() == bytes([won[0]]) * 100_000


def test_the_same_bytes_are_kept_once(caches: Caches) -> None:
    save(caches, "a", data=b"x" * 1000, at=1)
    save(caches, "b", data=b"x" * 1000, at=2)
    assert caches.usage() == (2, 1000)
    entry = caches.find(MAIN, "v", "a")
    assert entry is not None
    gone = caches.evict(os.stat(caches.archive(entry)).st_mtime, max_bytes=1000)
    assert (gone.entries, caches.usage()) == (0, (2, 1000))


def used(caches: Caches, key: str, at_s: float) -> None:
    entry = caches.find(MAIN, "v", key)
    assert entry is not None
    os.utime(Path(caches.archive(entry)).parents[1] / "entries" / entry.id, (at_s, at_s))


def test_what_was_not_used_for_long_goes_then_the_least_recent_until_the_rest_fits(caches: Caches) -> None:
    now_s = 100 * DAY_S
    for age, key in enumerate(["today", "yesterday", "before", "week"]):
        save(caches, key, data=key.encode() * 1000)
        used(caches, key, now_s - age * DAY_S)
    used(caches, "week", now_s - 8 * DAY_S)
    told = caches.evict(now_s, max_bytes=15_000, dry=True)
    assert caches.usage() == (4, 24_000)
    gone = caches.evict(now_s, max_bytes=15_000)
    assert gone == told
    assert (gone.entries, gone.size_bytes) == (2, 10_000)
    assert found(caches, "today") == "today"
    assert found(caches, "yesterday") == "yesterday"
    assert found(caches, "before") is None
    assert found(caches, "week") is None
    assert caches.evict(now_s, max_bytes=0).entries == 2
    assert caches.usage() == (0, 0)


def test_use_spares_an_entry(caches: Caches) -> None:
    save(caches, "k")
    used(caches, "k", 1.0)
    entry = caches.find(MAIN, "v", "k")
    assert entry is not None
    caches.used(entry)
    path = Path(caches.archive(entry)).parents[1] / "entries" / entry.id
    assert caches.evict(path.stat().st_mtime + 1).entries == 0


def test_what_nobody_names_or_can_read_or_will_finish_is_swept(caches: Caches, tmp_path: Path) -> None:
    save(caches, "k")
    folder = tmp_path / "caches"
    (folder / "archives" / "orphan").write_bytes(b"x")
    (folder / "entries" / "0").write_bytes(b"")
    given_up, fresh = Path(caches.new()), Path(caches.new())
    for path in (given_up, fresh):
        path.write_bytes(b"x")
    now_s = fresh.stat().st_mtime
    os.utime(given_up, (now_s - DAY_S, now_s - DAY_S))
    caches.evict(now_s)
    assert not (folder / "archives" / "orphan").exists()
    assert not (folder / "entries" / "0").exists()
    assert not given_up.exists()
    assert fresh.exists()
    assert found(caches, "k") == "k"


def test_what_is_damaged_is_forgotten_under_all_its_keys(caches: Caches) -> None:
    save(caches, "a", data=b"x")
    save(caches, "b", data=b"x")
    save(caches, "c", data=b"y")
    entry = caches.find(MAIN, "v", "a")
    assert entry is not None
    caches.forget(entry)
    assert (found(caches, "a"), found(caches, "b"), found(caches, "c")) == (None, None, "c")
    assert save(caches, "a", data=b"z"), "the key is free again"


def test_nothing_is_made_before_something_is_saved(caches: Caches, tmp_path: Path) -> None:
    assert found(caches, "k") is None
    assert caches.usage() == (0, 0)
    assert caches.evict(0.0).entries == 0
    assert list(tmp_path.iterdir()) == []
