"""What the documents say is so."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from scripts.api import PAGE as API
from scripts.api import api
from scripts.docs import MANUAL, PAGE, REFERENCE, command_line
from scripts.man import pages
from scripts.reference import reference
from scripts.telemetry import PAGE as TELEMETRY
from scripts.telemetry import telemetry

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_the_page_of_the_command_line_is_up_to_date() -> None:
    assert PAGE.read_text() == command_line(), "run: make docs"


def test_the_reference_of_the_language_is_up_to_date() -> None:
    assert REFERENCE.read_text() == reference(), "run: make docs"


def test_the_page_of_the_api_is_up_to_date() -> None:
    assert API.read_text() == api(), "run: make docs"


def test_the_page_of_telemetry_is_up_to_date() -> None:
    page = TELEMETRY.read_text()
    assert page.count("written by make docs") == 2
    assert page == telemetry(page), "run: make docs"


def test_the_manual_is_up_to_date() -> None:
    assert {page.name: page.read_text() for page in MANUAL.glob("*.1")} == pages(), "run: make docs"


@pytest.mark.parametrize("page", sorted(pages()))
def test_the_manual_can_be_read(page: str) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    shown = subprocess.run(
        [groff, "-man", "-Tascii", "-ww", "-P-cbou"],
        input=pages()[page],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    assert "NAME" in shown.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_verb_of_the_makefile_tells_what_it_does() -> None:
    told = subprocess.run(
        ["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    ).stdout
    makefile = (ROOT / "Makefile").read_text()
    verbs = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert verbs is not None
    for verb in verbs[1].split():
        assert f"make {verb} " in told


def test_the_house_is_the_one_that_stands() -> None:
    """Each package is told of in ARCHITECTURE.md, by its folder's name."""
    told = (ROOT / "ARCHITECTURE.md").read_text()
    for folder in (ROOT / "src" / "relevo").iterdir():
        if (folder / "__init__.py").exists():
            assert re.search(rf"^\| `{folder.name}`", told, re.MULTILINE), folder.name
