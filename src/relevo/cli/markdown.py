"""Markdown as a terminal without looks can show it: what steps write to GITHUB_STEP_SUMMARY. Not a full renderer."""

from __future__ import annotations

import re
from typing import Final

from relevo.cli.text import safe, table

#: Lines of one summary that are shown.
LIMIT: Final = 200
_HEADING: Final = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_RULER: Final = re.compile(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_IMAGE: Final = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_LINK: Final = re.compile(r"\[([^\]]+)\]\((\S+?)(?:\s+\"[^\"]*\")?\)")
_STRONG: Final = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_EMPHASIS: Final = re.compile(r"(?<![\w*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w*])")
_CODE: Final = re.compile(r"`([^`]+)`")
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->")


def plain(markdown: str) -> list[tuple[str, bool]]:
    """Lines, each with whether it is a heading."""
    lines: list[tuple[str, bool]] = []
    rows: list[list[str]] = []
    fenced = False
    for raw in safe(markdown, colours=False).expandtabs(4).split("\n"):
        if raw.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
            continue
        if not fenced and raw.lstrip().startswith("|"):
            if not _RULER.match(raw):
                rows.append(_cells(raw))
            continue
        lines += _table(rows)
        rows = []
        if fenced:
            lines.append((f"    {raw}", False))
            continue
        heading = _HEADING.match(raw)
        text = _inline(heading.group(1) if heading else raw).rstrip()
        if text or (lines and lines[-1][0]):
            lines.append((text, heading is not None))
    lines += _table(rows)
    while lines and not lines[-1][0]:
        lines.pop()
    if len(lines) > LIMIT:
        lines = [*lines[:LIMIT], (f"… and {len(lines) - LIMIT} more lines", False)]
    return lines


def _cells(row: str) -> list[str]:
    inner = row.strip().removeprefix("|")
    if inner.endswith("|") and not inner.endswith("\\|"):
        inner = inner[:-1]
    return [_inline(cell.strip().replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", inner)]


def _table(rows: list[list[str]]) -> list[tuple[str, bool]]:
    if not rows:
        return []
    width = max(len(row) for row in rows)
    return [(line, False) for line in table([row + [""] * (width - len(row)) for row in rows], indent="  ")]


def _inline(text: str) -> str:
    text = _TAG.sub("", text)
    text = _IMAGE.sub(r"\1", text)
    text = _LINK.sub(lambda found: found[1] if found[1] == found[2] else f"{found[1]} ({found[2]})", text)
    text = _STRONG.sub(r"\2", text)
    text = _EMPHASIS.sub(r"\1", text)
    return _CODE.sub(r"\1", text)
