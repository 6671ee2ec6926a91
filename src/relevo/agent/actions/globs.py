"""Finding files by patterns as actions/upload-artifact does (its `@actions/glob`).

One pattern a line, from the workspace or absolute; `*`, `?`, `[…]`, `**`; `!` takes files out again, and the last pattern
that matches decides; `#` begins a comment; a pattern that names a folder means everything below it.
Source of the rules: actions/toolkit `packages/glob`, actions/upload-artifact `src/shared/search.ts`.
"""

from __future__ import annotations

import os
import re
from typing import Final

from msgspec import Struct

_MAGIC: Final = re.compile(r"[*?\[]")


class PatternInvalid(ValueError):
    """A pattern that means nothing; the message says which and why."""


class Found(Struct, frozen=True):
    """What patterns came to."""

    root: str  #: the folder that paths in the artifact are relative to
    files: tuple[str, ...]  #: absolute paths, sorted; links to files are among them, folders are not


class Pattern(Struct, frozen=True):
    """One line of patterns, understood."""

    negate: bool
    segments: tuple[str, ...]  #: below /
    regex: re.Pattern[str]
    only_folders: bool  #: it ended with /
    search_path: str  #: the part without wildcards


def find(patterns: str, workspace: str, *, hidden: bool = False) -> Found:
    """All files that the patterns mean, and the least common ancestor of where they were looked for. Blocking.

    Without `hidden`, files and folders whose name begins with a dot are left out. Links are followed.
    Raises PatternInvalid.
    """
    parsed = parse(patterns, workspace, os.path.expanduser("~"))
    paths = _search_paths(parsed)
    files: set[str] = set()
    for path in paths:
        _walk(path, parsed, hidden, files)
    found = sorted(files)
    if not paths:
        return Found(workspace, ())
    if len(paths) > 1:
        return Found(os.path.commonpath(paths), tuple(found))
    # A single file that was named outright: its folder does not matter.
    root = os.path.dirname(paths[0]) if found == [paths[0]] else paths[0]
    return Found(root, tuple(found))


def parse(patterns: str, workspace: str, home: str) -> list[Pattern]:
    """The patterns, one a line; `home` is what `~` stands for. Raises PatternInvalid."""
    return [_parse(line, workspace, home) for line in patterns.splitlines() if _is_pattern(line)]


def _is_pattern(line: str) -> bool:
    return bool(line.strip()) and not line.strip().startswith("#")


def _parse(line: str, workspace: str, home: str) -> Pattern:
    text = line.strip()
    negate = False
    while text.startswith("!"):
        negate = not negate
        text = text[1:].strip()
    if not text:
        raise PatternInvalid(f"{line.strip()!r} is no pattern")
    only_folders = text.endswith("/")
    if text == "~" or text.startswith("~/"):
        text = home + text[1:]
        prefix: tuple[str, ...] = ()
    elif text.startswith("/"):
        prefix = ()
    else:
        prefix = tuple(re.escape(part) for part in workspace.split("/") if part)
    parts = [part for part in text.split("/") if part]
    while parts and parts[0] == ".":
        parts.pop(0)
    if "." in parts or ".." in parts:
        raise PatternInvalid(f"{line.strip()!r}: `.` and `..` are not allowed within a pattern")
    literal = _unescaped(prefix) if prefix else []
    for part in parts:
        if _MAGIC.search(part):
            break
        literal.append(part)
    translated = (*prefix, *(part if part == "**" else _segment(part) for part in parts))
    return Pattern(
        negate,
        translated,
        re.compile(_join(translated), re.DOTALL),
        only_folders,
        "/" + "/".join(literal),
    )


def _unescaped(prefix: tuple[str, ...]) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in prefix]


def _segment(part: str) -> str:
    """A regular expression for one segment of a path."""
    if part == "*":
        return r"[^/]+"
    out = []
    index = 0
    while index < len(part):
        char = part[index]
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[" and (end := part.find("]", index + 2)) > 0:
            inner = part[index + 1 : end]
            negated = inner[0] in "!^"
            inner = inner[1:] if negated else inner
            # A `-` between two characters is a range; everything else stands for itself.
            inner = re.sub(r"([\\\]\[^&~|])", r"\\\1", inner)
            out.append(f"(?!/)[{'^' if negated else ''}{inner}]")
            index = end
        elif char == "\\" and index + 1 < len(part):
            index += 1
            out.append(re.escape(part[index]))
        else:
            out.append(re.escape(char))
        index += 1
    try:
        re.compile("".join(out))
    except re.error:
        return re.escape(part)  # `[z-a]` and the like match themselves
    return "".join(out)


def _join(segments: tuple[str, ...]) -> str:
    """A regular expression for whole paths. A pattern means also what lies below the folders that it matches."""
    expression = ""
    for segment in segments:
        expression += "(?:/[^/]+)*" if segment == "**" else "/" + segment
    if segments and segments[-1] == "**":
        return expression.removesuffix("*") + "+"
    return expression + "(?P<below>/.+)?"


def _search_paths(patterns: list[Pattern]) -> list[str]:
    named = dict.fromkeys(pattern.search_path for pattern in patterns if not pattern.negate)
    return [path for path in named if not any(_is_below(path, other) for other in named)]


def _is_below(path: str, folder: str) -> bool:
    return path != folder and path.startswith(folder.rstrip("/") + "/")


def _walk(start: str, patterns: list[Pattern], hidden: bool, files: set[str]) -> None:
    pending: list[tuple[str, tuple[str, ...]]] = [(start, ())]
    while pending:
        path, above = pending.pop()
        if not hidden and os.path.basename(path).startswith("."):
            continue
        try:
            is_folder = os.path.isdir(path)
            if not is_folder:
                # A broken link and what is no file (a socket) cannot be uploaded.
                if os.path.isfile(path) and wanted(path, patterns):
                    files.add(path)
                continue
            real = os.path.realpath(path)
            if real in above or not may_hold(path, patterns):
                continue
            names = os.listdir(path)
        except FileNotFoundError:
            continue  # it went away while we looked
        pending.extend((os.path.join(path, name), (*above, real)) for name in names)


def wanted(path: str, patterns: list[Pattern], *, is_folder: bool = False) -> bool:
    """Whether patterns mean a path: the last one that matches decides."""
    means = False
    for pattern in patterns:
        if means != pattern.negate:
            continue  # it would change nothing
        match = pattern.regex.fullmatch(path)
        # With a slash at its end a pattern names a folder: it means that, and what lies below.
        if match and (is_folder or not pattern.only_folders or match.groupdict().get("below")):
            means = not pattern.negate
    return means


def may_hold(folder: str, patterns: list[Pattern]) -> bool:
    """Whether anything below a folder can match: whether it agrees with the beginning of some pattern."""
    parts = [part for part in folder.split("/") if part]
    return any(not pattern.negate and _agrees(parts, pattern.segments) for pattern in patterns)


def _agrees(parts: list[str], segments: tuple[str, ...]) -> bool:
    for part, segment in zip(parts, segments, strict=False):
        if segment == "**":
            return True
        if not re.fullmatch(segment, part, re.DOTALL):
            return False
    return True
