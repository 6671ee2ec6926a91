"""Every example is read without a complaint, uses nothing that is not there, and is listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from relevo.workflow.reader import read
from relevo.workflow.support import unsupported

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*/workflow.yml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_it_is_read(path: Path) -> None:
    workflow = read(path.read_bytes(), str(path))
    assert workflow.warnings == ()
    assert unsupported(workflow) == ()
    assert {"push", "workflow_dispatch"} <= set(workflow.on)


def test_all_are_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    assert len(FILES) >= 6
    assert [path.parent.name for path in FILES if f"[{path.parent.name}](" not in listed] == []
