from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from relevo.agent import caches
from relevo.agent.actions import cache, cache_restore, cache_save, caching
from relevo.agent.actions.contract import ActionFailed

KEYS = {"path": "out", "key": "k-1"}


def fill(ctx: Any, text: str = "x", name: str = "out/a") -> None:
    path = Path(ctx.workspace) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


async def saved(working: Any, text: str = "x", place: str = "maker", **inputs: str) -> None:
    ctx = working(place, **{**KEYS, **inputs})
    fill(ctx, text)
    await cache_save.main(ctx)
    assert ctx.warnings == []


async def test_a_miss_then_a_save_then_a_hit(working: Any) -> None:
    first = working("one", **KEYS, restore_keys="k-")
    await cache.main(first)
    assert first.outputs == {"cache-primary-key": "k-1"}
    assert first.posts == 1
    fill(first)
    await cache.post(first)
    second = working("two", **KEYS)
    await cache.main(second)
    assert (Path(second.workspace) / "out/a").read_text() == "x"
    assert second.outputs == {
        "cache-primary-key": "k-1",
        "cache-hit": "true",
        "cache-matched-key": "k-1",
    }
    fill(second, "changed")
    await cache.post(second)
    assert "Cache hit occurred on the primary key k-1, not saving cache." in second.logged
    third = working("three", path="out", key="k-2", restore_keys="no-\nk-")
    await cache.main(third)
    assert third.outputs["cache-hit"] == "false"
    assert third.outputs["cache-matched-key"] == "k-1"
    assert (Path(third.workspace) / "out/a").read_text() == "x"


@pytest.mark.parametrize("status", ["failure", "cancelled"])
async def test_nothing_is_saved_unless_the_job_succeeded(working: Any, status: str) -> None:
    ctx = working("one", **KEYS)
    await cache.main(ctx)
    fill(ctx)
    ctx.job_status = status
    await cache.post(ctx)
    assert "The job did not succeed: no cache is saved" in ctx.logged
    assert caches.Caches(ctx.caches).usage() == (0, 0)


async def test_restore_saves_nothing_and_save_restores_nothing(working: Any) -> None:
    await saved(working)
    ctx = working("two", **KEYS)
    await cache_save.main(ctx)
    assert not (Path(ctx.workspace) / "out").exists()
    assert any("already" in line for line in ctx.logged)
    await cache_restore.main(ctx)
    assert ctx.outputs["cache-hit"] == "true"
    assert ctx.posts == 0


async def test_lookup_only(working: Any) -> None:
    await saved(working)
    ctx = working("two", **KEYS, lookup_only="true")
    await cache_restore.main(ctx)
    assert ctx.outputs["cache-hit"] == "true"
    assert not (Path(ctx.workspace) / "out").exists()
    assert ctx.ran == []


async def test_fail_on_cache_miss(working: Any) -> None:
    ctx = working("two", **KEYS, fail_on_cache_miss="true")
    with pytest.raises(ActionFailed, match=r"fail-on-cache-miss is set\. Input key: k-1"):
        await cache_restore.main(ctx)


async def test_paths_that_are_not_there_are_a_warning(working: Any) -> None:
    ctx = working("one", **KEYS)
    await cache_save.main(ctx)
    assert "do(es) not exist" in ctx.warnings[0]
    assert caches.Caches(ctx.caches).usage() == (0, 0)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
async def test_what_is_damaged_is_a_miss_with_a_warning_and_its_key_free_again(
    working: Any, damage: str
) -> None:
    await saved(working, "content")
    ctx = working("two", **KEYS)
    (archive,) = (Path(ctx.caches) / "archives").iterdir()
    data = archive.read_bytes()
    if damage == "remove":
        archive.unlink()
    else:
        archive.write_bytes(data[:-3] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    await cache.main(ctx)
    assert len(ctx.warnings) == 1
    assert "damaged" in ctx.warnings[0]
    assert "cache-hit" not in ctx.outputs
    assert not (Path(ctx.workspace) / "out").exists(), "nothing of it was laid out"
    fill(ctx, "again")
    await cache.post(ctx)
    later = working("three", **KEYS)
    await cache.main(later)
    assert (Path(later.workspace) / "out/a").read_text() == "again"


async def test_two_jobs_save_the_same_key_at_once(working: Any) -> None:
    one, two = working("one", **KEYS), working("two", **KEYS)
    fill(one, "one" * 50_000)
    fill(two, "two" * 50_000)
    await asyncio.gather(cache_save.main(one), cache_save.main(two))
    lines = [line for ctx in (one, two) for line in ctx.logged]
    assert sum(line.startswith("Cache saved") for line in lines) == 1
    assert os.listdir(Path(one.caches) / "new") == []
    late = working("late", **KEYS)
    await cache.main(late)
    assert (Path(late.workspace) / "out/a").read_text() in ("one" * 50_000, "two" * 50_000)


async def test_a_cancel_leaves_nothing_torn(working: Any) -> None:
    ctx = working("one", **KEYS)
    fill(ctx, "x" * 1_000_000)
    os.mkfifo(Path(ctx.workspace) / "gate")
    inner, begun = ctx.run, asyncio.Event()

    async def run(argv: list[str], **rest: Any) -> int:
        begun.set()
        # The real program, held before it ends: it is cancelled with all bytes written and nothing told.
        shell = ["sh", "-c", '"$@"; read -r never < gate', "sh", *argv]
        return int(await inner(shell, **rest))

    ctx.run = run
    task = asyncio.create_task(cache_save.main(ctx))
    await begun.wait()
    new = Path(ctx.caches) / "new"
    async with asyncio.timeout(60):
        while not any(path.stat().st_size > 1_000_000 for path in new.iterdir()):
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(new.iterdir()) == []
    assert caches.Caches(ctx.caches).usage() == (0, 0)


async def test_what_cannot_be_laid_out_is_a_warning(working: Any) -> None:
    await saved(working)
    ctx = working("two", **KEYS)
    fill(ctx, name="out/a/in-the-way")
    await cache.main(ctx)
    assert "out/a is a folder" in ctx.warnings[0]
    assert "cache-hit" not in ctx.outputs
    assert caches.Caches(ctx.caches).usage()[0] == 1, "it is no fault of the cache"


async def test_a_folder_that_is_none_is_a_warning(working: Any) -> None:
    ctx = working("one", **KEYS)
    Path(ctx.caches).write_text("in the way")
    await cache.main(ctx)
    fill(ctx)
    await cache.post(ctx)
    assert len(ctx.warnings) == 2
    assert ctx.warnings[0].startswith("Failed to restore: ")
    assert ctx.warnings[1].startswith("Failed to save: ")


async def test_a_process_that_dies_is_a_warning(working: Any) -> None:
    ctx = working("one", **KEYS)
    fill(ctx)
    inner = ctx.run

    async def run(argv: list[str], **rest: Any) -> int:
        return int(await inner(["sh", "-c", "echo no more; exit 137"], **rest))

    ctx.run = run
    await cache_save.main(ctx)
    assert ctx.warnings == [
        "Failed to save: the process that reads and writes caches ended with 137: no more"
    ]


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"path": "", "key": "k"}, "path: is required"),
        ({"path": "out", "key": ""}, "key: is required"),
        ({"path": "!out", "key": "k"}, "only excludes"),
        ({"path": "../out", "key": "k"}, "not allowed"),
        ({"path": "out", "key": "a,b"}, "cannot contain commas"),
        ({"path": "out", "key": "k" * 513}, "larger than 512"),
        ({"path": "out", "key": "k", "restore_keys": "k,1"}, "cannot contain commas"),
        ({"path": "out", "key": "k", "restore_keys": "\n".join("abcdefghij")}, "maximum of 10"),
        ({"path": "out", "key": "k", "lookup_only": "maybe"}, "maybe"),
    ],
)
async def test_inputs_that_mean_nothing(working: Any, inputs: dict[str, str], problem: str) -> None:
    with pytest.raises(ActionFailed, match=problem):
        await cache.main(working(**inputs))


async def test_inputs_that_have_no_effect_are_told(working: Any) -> None:
    ctx = working(**KEYS, save_always="true", colour="red", upload_chunk_size="5")
    await cache.main(ctx)
    assert "'colour'" in ctx.warnings[0]
    assert "save-always does not work" in ctx.warnings[1]
    assert len(ctx.warnings) == 2


def test_scopes(working: Any) -> None:
    ctx = working()
    ctx.github = {
        "repository": "team/thing",
        "ref": "refs/pull/1/merge",
        "base_ref": "next",
        "event": {"repository": {"default_branch": "main"}},
    }
    assert caching.scope(ctx).refs == ("refs/pull/1/merge", "refs/heads/next", "refs/heads/main")
    ctx.github = {"repository": "team/thing", "ref": "refs/heads/main", "base_ref": "", "event": {}}
    assert caching.scope(ctx).refs == ("refs/heads/main",)


async def test_home_is_the_jobs(working: Any) -> None:
    ctx = working("one", path="~/.tool", key="k")
    home = Path(ctx.env["HOME"])
    (home / ".tool").mkdir(parents=True)
    (home / ".tool/a").write_text("x")
    await cache_save.main(ctx)
    again = working("two", path="~/.tool", key="k")
    await cache_restore.main(again)
    assert (Path(again.env["HOME"]) / ".tool/a").read_text() == "x"


@pytest.mark.parametrize(
    "path", ["{workspace}/out", "{temp}/out", "{home}/out", "!{workspace}/x\n{temp}/out"]
)
async def test_paths_of_an_attempt_are_the_same_in_the_next(working: Any, path: str) -> None:
    def prepared(place: str) -> tuple[Any, Path]:
        ctx = working(place, key="k")
        folders = {"workspace": ctx.workspace, "temp": ctx.temp, "home": ctx.env["HOME"]}
        ctx.inputs["path"] = path.format(**folders)
        return ctx, Path(ctx.inputs["path"].splitlines()[-1])

    first, out = prepared("one")
    out.mkdir()
    (out / "a").write_text("x")
    await cache_save.main(first)
    second, out = prepared("two")
    await cache_restore.main(second)
    assert second.outputs["cache-hit"] == "true"
    assert (out / "a").read_text() == "x"


def test_other_paths_are_other_versions(working: Any) -> None:
    ctx = working()
    texts = ["a", "b", "a\nb", "!a\nb", "~/a", f"{ctx.temp}/a"]
    assert len({caching.wanted(ctx, text, "k").version for text in texts}) == len(texts)
    same = caching.wanted(ctx, "a", "k").version
    assert caching.wanted(ctx, f"{ctx.workspace}/a\n", "other").version == same


async def test_a_path_that_is_no_text_is_told_all_the_same(working: Any) -> None:
    first = working("one", **KEYS)
    odd = os.fsencode(first.workspace) + b"/out/\xff"
    os.makedirs(os.path.dirname(odd))
    os.close(os.open(odd, os.O_CREAT))
    await cache_save.main(first)
    second = working("two", **KEYS)
    os.makedirs(os.fsencode(second.workspace) + b"/out/\xff")
    await cache.main(second)
    [warning] = second.warnings
    assert warning.endswith("/out/\\xff is a folder, and should become a file")
