from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from relevo.cli.group import group
from relevo.cli.main import SECTIONS

WORDS = {name: words for section in SECTIONS.values() for name, words in section.items()}
SOURCE = Path(__file__).parents[3] / "src"


@pytest.mark.parametrize("name", WORDS)
def test_each_command_says_the_same_everywhere_and_shows_examples(name: str) -> None:
    command = group().get_command(click.Context(group()), name)
    assert command is not None
    assert command.name == name
    assert command.short_help == WORDS[name]
    assert command.help is not None
    assert f"relevo {name}" in command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


def test_every_module_of_a_command_is_listed() -> None:
    folder = SOURCE / "relevo" / "cli" / "commands"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(WORDS)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import os, sys; sys.argv = ['relevo', '--help']\n"
        "os._exit = sys.exit  # to look around after the end\n"
        "from relevo.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'msgspec', 'yaml', 'apsw', 'asyncio', 'cryptography', 'relevo.assembly', 'dataclasses'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"relevo --help: {(time.perf_counter() - started) * 1000:.0f} ms")
    assert ended.stderr == "[]\n"
    assert "Run a workflow and show it live." in ended.stdout
