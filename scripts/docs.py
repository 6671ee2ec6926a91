"""Writes the generated pages of docs/: `make docs`. A test compares them with what is written."""

from __future__ import annotations

from pathlib import Path

import click
from scripts.api import PAGE as API
from scripts.api import api
from scripts.man import pages
from scripts.reference import reference
from scripts.telemetry import PAGE as TELEMETRY
from scripts.telemetry import telemetry

from relevo.cli.group import group
from relevo.cli.main import SECTIONS

PAGE = Path(__file__).parents[1] / "docs" / "command_line.md"
MANUAL = PAGE.with_name("man")
REFERENCE = PAGE.with_name("reference.md")


def command_line() -> str:
    """docs/command_line.md: the help of each command, as the program prints it."""
    root = group()
    parts = [
        "# The command line\n",
        "Written by `make docs` from the program's own help.\n",
        _help(root, "relevo"),
        "## For programs\n",
        "What `--json` prints. Keys are only ever added.\n",
        *_as_json(root),
    ]
    for title, commands in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in commands:
            command = root.commands.get(name) or root.get_command(click.Context(root), name)
            assert command is not None
            parts += [f"### relevo {name}\n", _help(command, f"relevo {name}")]
            if isinstance(command, click.Group):
                for inner in command.commands.values():
                    parts += [
                        f"### relevo {name} {inner.name}\n",
                        _help(inner, f"relevo {name} {inner.name}"),
                    ]
    return "\n".join(parts)


def _as_json(root: click.Group) -> list[str]:
    """A row for each command that has `--json`."""
    rows = ["| command | prints |", "|---|---|"]
    for commands in SECTIONS.values():
        for name in commands:
            command = root.get_command(click.Context(root), name)
            inner = command.commands if isinstance(command, click.Group) else {}
            for path, one in {name: command, **{f"{name} {sub}": inner[sub] for sub in inner}}.items():
                assert one is not None
                rows += [
                    f"| `relevo {path} --json` | {option.help} |"
                    for option in one.params
                    if isinstance(option, click.Option) and "--json" in option.opts
                ]
    return ["\n".join(rows) + "\n"]


def _help(command: click.Command, path: str) -> str:
    context = click.Context(command, info_name=path, terminal_width=100, help_option_names=["-h", "--help"])
    return f"```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    for page, text in (
        (PAGE, command_line()),
        (REFERENCE, reference()),
        (API, api()),
        (TELEMETRY, telemetry(TELEMETRY.read_text())),
    ):
        page.write_text(text)
        click.echo(f"wrote {page}")
    MANUAL.mkdir(exist_ok=True)
    for old in MANUAL.glob("*.1"):
        old.unlink()
    for name, text in pages().items():
        (MANUAL / name).write_text(text)
    click.echo(f"wrote {MANUAL}")
