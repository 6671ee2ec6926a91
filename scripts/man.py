"""The manual pages, from the program's own help: relevo(1), and one for each command."""

from __future__ import annotations

from inspect import cleandoc

import click

from relevo.cli.group import group
from relevo.cli.main import SECTIONS


def pages() -> dict[str, str]:
    """Text by file name. Without a date or version, so that they change only when the help does."""
    root = group()
    found = {"relevo.1": _page("relevo", root, "run GitHub workflow files, and lose nothing")}
    for commands in SECTIONS.values():
        for name in commands:
            command = root.get_command(click.Context(root), name)
            assert command is not None
            found |= _pages_of(f"relevo {name}", command)
    return found


def _pages_of(path: str, command: click.Command) -> dict[str, str]:
    found = {f"{path.replace(' ', '-')}.1": _page(path, command, command.get_short_help_str(100))}
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            found |= _pages_of(f"{path} {name}", inner)
    return found


def _page(path: str, command: click.Command, words: str) -> str:
    name = path.replace(" ", "-")
    context = click.Context(command, info_name=path, help_option_names=["-h", "--help"])
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH "{name.upper()}" "1" "" "relevo" "relevo"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(words.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_text(path)}",
        _text(usage),
        ".SH DESCRIPTION",
        *_paragraphs(command.help or ""),
    ]
    lines += [".SH OPTIONS"]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            lines += [".TP", f"\\fB{_text(record[0])}\\fR", _text(record[1])]
    lines += _commands(path, command)
    if command.epilog:
        lines += [".SH NOTES", *_paragraphs(command.epilog)]
    lines += [".SH SEE ALSO", _see_also(path)]
    return "\n".join(lines) + "\n"


def _commands(path: str, command: click.Command) -> list[str]:
    if not isinstance(command, click.Group):
        return []
    lines = [".SH COMMANDS"]
    if path == "relevo":
        for title, commands in SECTIONS.items():
            lines.append(f".SS {_text(title)}")
            for name, words in commands.items():
                lines += [".TP", f"\\fBrelevo\\-{_text(name)}\\fR(1)", _text(words)]
        return lines
    for name, inner in command.commands.items():
        full = f"{path} {name}".replace(" ", "-")
        lines += [".TP", f"\\fB{_text(full)}\\fR(1)", _text(inner.get_short_help_str(100))]
    return lines


def _see_also(path: str) -> str:
    parent = path.rpartition(" ")[0].replace(" ", "-")
    return (
        f"\\fB{_text(parent)}\\fR(1)"
        if parent
        else "The documentation that comes with relevo, docs/command_line.md."
    )


def _paragraphs(help: str) -> list[str]:
    """Paragraphs flow; those after \\b keep their lines."""
    lines: list[str] = []
    for paragraph in cleandoc(help).split("\n\n"):
        if paragraph.startswith("\b\n"):
            title, *rest = paragraph.removeprefix("\b\n").rstrip().split("\n")
            if not title.startswith(" "):
                lines += [".PP", _text(title)]
            else:
                rest = [title, *rest]
                lines.append(".PP")
            lines += [".nf", *(_text(line) for line in rest), ".fi"]
        elif paragraph.strip():
            lines += [".PP", _text(" ".join(paragraph.split()))]
    return lines


def _text(text: str) -> str:
    """Text that means nothing to roff but itself."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    safe = (
        safe.replace("^", "\\(ha")
        .replace("~", "\\(ti")
        .replace("…", "\\&...")
        .replace("“", '"')
        .replace("”", '"')
    )
    return f"\\&{safe}" if safe.startswith(".") else safe
