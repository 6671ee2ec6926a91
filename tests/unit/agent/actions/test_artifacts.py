from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from relevo.agent.actions import download_artifact, upload_artifact
from relevo.agent.actions.contract import ActionFailed


def fill(ctx: Any, *names: str) -> None:
    for name in names:
        path = Path(ctx.workspace) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def files(folder: str) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(where, name), folder)
        for where, _, names in os.walk(folder)
        for name in names
    )


async def upload(context: Any, *names: str, **inputs: str) -> Any:
    ctx = context(**inputs)
    fill(ctx, *names)
    await upload_artifact.main(ctx)
    return ctx


async def test_there_and_back(context: Any, engine: Any) -> None:
    up = await upload(context, "dist/a.whl", "dist/deep/b", name="wheels", path="dist")
    assert up.outputs["artifact-digest"] in engine.blobs
    assert up.outputs["artifact-url"] == ""
    down = context(place="two", name="wheels", path="got")
    await download_artifact.main(down)
    assert files(down.workspace) == ["got/a.whl", "got/deep/b"]
    assert down.outputs == {"download-path": os.path.join(down.workspace, "got")}
    assert os.listdir(down.temp) == []


async def test_large_files_go_in_bounded_pieces(context: Any, engine: Any) -> None:
    ctx = context(path="big")
    with open(Path(ctx.workspace) / "big", "wb") as file:  # noqa: ASYNC230
        file.truncate(20 << 20)
    await upload_artifact.main(ctx)
    assert engine.largest <= 2 << 20
    assert engine.artifacts["artifact"][1] > 20 << 20


async def test_compression_only_when_asked_for(context: Any, engine: Any) -> None:
    for level, name in (("", "plain"), ("9", "small")):
        ctx = context(path="x", name=name, compression_level=level)
        (Path(ctx.workspace) / "x").write_text("a" * 100_000)
        await upload_artifact.main(ctx)
    assert engine.artifacts["plain"][1] > 100_000 > 2_000 > engine.artifacts["small"][1]
    down = context(place="two", name="small")
    await download_artifact.main(down)
    assert (Path(down.workspace) / "x").read_text() == "a" * 100_000


async def test_without_a_name_all_come_each_in_its_folder(context: Any) -> None:
    await upload(context, "a", name="one", path="a")
    await upload(context, "b", name="two", path="b")
    down = context(place="two")
    await download_artifact.main(down)
    assert files(down.workspace) == ["one/a", "two/b"]
    assert down.outputs["download-path"] == down.workspace


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"pattern": "wheel-*"}, ["wheel-x/wheel-x", "wheel-y/wheel-y"]),
        ({"pattern": "wheel-*", "merge_multiple": "true"}, ["wheel-x", "wheel-y"]),
        ({"pattern": "{report,wheel-x}"}, ["report/report", "wheel-x/wheel-x"]),
        (
            {"pattern": "wheel-?", "path": "in/here", "merge_multiple": "true"},
            ["in/here/wheel-x", "in/here/wheel-y"],
        ),
    ],
)
async def test_patterns(context: Any, inputs: dict[str, str], expected: list[str]) -> None:
    for name in ("wheel-x", "wheel-y", "report"):
        await upload(context, name, name=name, path=name)
    down = context(place="two", **inputs)
    await download_artifact.main(down)
    assert files(down.workspace) == expected


async def test_by_id(context: Any) -> None:
    up = await upload(context, "a", name="one", path="a")
    await upload(context, "b", name="two", path="b")
    down = context(place="two", artifact_ids=up.outputs["artifact-id"], merge_multiple="true")
    await download_artifact.main(down)
    assert files(down.workspace) == ["a"]


async def test_a_missing_artifact_is_named_with_what_there_is(context: Any) -> None:
    await upload(context, "a", name="one", path="a")
    with pytest.raises(ActionFailed, match="no artifact 'two'; it has one"):
        await download_artifact.main(context(place="two", name="two"))
    with pytest.raises(ActionFailed, match="not all of 1"):
        await download_artifact.main(context(place="two", artifact_ids="1"))
    nothing = context(place="two", pattern="x*")
    await download_artifact.main(nothing)
    assert nothing.warnings == ["No artifact of this run matches: nothing was downloaded"]


async def test_a_name_that_is_taken(context: Any, engine: Any) -> None:
    await upload(context, "a", path="a")
    with pytest.raises(ActionFailed, match="already"):
        await upload(context, "b", path="b")
    await upload(context, "b", path="b", overwrite="true")
    down = context(place="two", name="artifact")
    await download_artifact.main(down)
    assert files(down.workspace) == ["b"]


@pytest.mark.parametrize(
    ("saved_by", "taken"),
    [
        (("01RUN", 0, 1), True),  # this very attempt
        (("01RUN", 1, 1), True),  # another job
        (("01RUN", 0, 7), False),  # another attempt of this job
        (("01OLD", 1, 1), False),  # the run that this one retries
    ],
)
async def test_what_an_earlier_attempt_saved_is_replaced(
    context: Any, engine: Any, saved_by: tuple[str, int, int], taken: bool
) -> None:
    await upload(context, "a", path="a")
    engine.saved_by = saved_by
    if taken:
        with pytest.raises(ActionFailed, match="already"):
            await upload(context, "b", path="b")
    else:
        await upload(context, "b", path="b")
        assert engine.artifacts["artifact"][2] == 1


@pytest.mark.parametrize("then", ["warn", "error", "ignore", ""])
async def test_nothing_found(context: Any, engine: Any, then: str) -> None:
    ctx = context(path="nope", if_no_files_found=then)
    if then == "error":
        with pytest.raises(ActionFailed, match="No files were found"):
            await upload_artifact.main(ctx)
    else:
        await upload_artifact.main(ctx)
        assert bool(ctx.warnings) == (then != "ignore")
    assert engine.artifacts == {}
    assert ctx.outputs == {}


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"path": "a", "name": "a/b"},
        {"path": "a", "name": ".."},
        {"path": "a", "name": "what?"},
        {"path": "a", "if_no_files_found": "cry"},
        {"path": "a", "compression_level": "11"},
        {"path": "a", "retention_days": "many"},
        {"path": "../a"},
    ],
)
async def test_bad_inputs_of_upload(context: Any, engine: Any, inputs: dict[str, str]) -> None:
    with pytest.raises(ActionFailed):
        await upload(context, "a", **inputs)
    assert engine.artifacts == {}


@pytest.mark.parametrize(
    "inputs",
    [
        {"run_id": "7"},
        {"repository": "other/thing"},
        {"name": "a", "artifact_ids": "1"},
        {"digest_mismatch": "shrug"},
    ],
)
async def test_bad_inputs_of_download(context: Any, inputs: dict[str, str]) -> None:
    with pytest.raises(ActionFailed):
        await download_artifact.main(context(**inputs))


async def test_unknown_inputs_are_warned_of(context: Any) -> None:
    ctx = await upload(context, "a", path="a", pth="b")
    assert ctx.warnings[0].startswith("Unexpected input(s) ['pth']")
