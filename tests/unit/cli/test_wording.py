from __future__ import annotations

from pathlib import Path

from relevo.cli.palette import Palette
from relevo.cli.text import undressed
from relevo.cli.wording import annotation
from tests.unit.cli.fake import event


def told(file: str, palette: Palette) -> str:
    return annotation(
        event("annotation", level="error", message="no\nmore", file=file, line=3, column=1), palette
    )


def test_an_annotation_leads_to_its_file_if_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "a b.py").write_text("")
    palette = Palette(False, links_to=str(tmp_path))
    line = told("a b.py", palette)
    assert line == f"error \x1b]8;;file://{tmp_path}/a%20b.py\x1b\\a b.py:3:1\x1b]8;;\x1b\\: no"
    assert undressed(line) == told("a b.py", Palette(False)) == "error a b.py:3:1: no"
    assert told("gone.py", palette) == "error gone.py:3:1: no"


def test_a_file_name_cannot_command_the_terminal() -> None:
    assert "\x1b" not in told("\x1b]8;;http://x\x1b\\a.py", Palette(False))
