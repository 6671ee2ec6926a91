"""`hashFiles()`: one SHA-256 over the files that glob patterns name.

The result is GitHub's for the same files: the digest of the files' digests, folder by folder in byte order of names. Patterns
work as in its glob package: `*`, `?`, `[…]`, `**`, a leading `!` takes out again, a pattern that names a folder means all in
it, hidden files count, symbolic links are not followed into folders. Source: actions/runner, hashFiles/index.ts; actions/toolkit, glob.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final

_CHUNK_BYTES: Final = 1 << 20


def hash_files(workspace: str, patterns: Sequence[str]) -> str:
    """The hash in hex, "" when no file matches. Blocking. Raises OSError for a file that cannot be read."""
    import hashlib

    lines = [line.strip() for pattern in patterns for line in pattern.splitlines()]
    rules = [_rule(workspace, line) for line in lines if line and not line.startswith("#")]
    if not any(includes for includes, _ in rules):
        return ""
    total = hashlib.sha256()
    matched = False
    for path in _files(workspace, lambda relative: _wanted(rules, relative)):
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        total.update(digest.digest())
        matched = True
    return total.hexdigest() if matched else ""


def _wanted(rules: list[tuple[bool, re.Pattern[str] | None]], relative: str) -> bool:
    wanted = False
    for includes, pattern in rules:
        if wanted is not includes and pattern is not None and pattern.match(relative):
            wanted = includes
    return wanted


def _files(workspace: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    pending = [""]
    while pending:
        relative = pending.pop()
        path = f"{workspace}/{relative}" if relative else workspace
        if os.path.isdir(path) and (not relative or not os.path.islink(path)):
            try:
                names = sorted(os.listdir(path), key=os.fsencode, reverse=True)
            except (PermissionError, FileNotFoundError):
                continue  # GitHub's glob leaves out what cannot be listed, too
            pending.extend(f"{relative}/{name}" if relative else name for name in names)
        elif relative and wanted(relative) and os.path.isfile(path):
            yield path


def _rule(workspace: str, line: str) -> tuple[bool, re.Pattern[str] | None]:
    includes = True
    while line.startswith("!"):
        includes = not includes
        line = line[1:].lstrip()
    if line == "~" or line.startswith("~/"):
        line = os.path.expanduser("~") + line[1:]
    if line.startswith("/"):
        folder = workspace.rstrip("/")
        if line.rstrip("/") == folder:
            return includes, _compiled("**")
        if not line.startswith(folder + "/"):
            return includes, None  # what lies outside of the workspace is never hashed
        line = line[len(folder) + 1 :]
    return includes, _compiled(line)


@lru_cache(maxsize=256)
def _compiled(glob: str) -> re.Pattern[str]:
    # a match may end at a folder's name: then all below it is meant
    parts = [part for part in glob.split("/") if part not in ("", ".")]
    if ".." in parts:
        return re.compile(r"(?!)")
    expression = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            expression += ".*" if last else "(?:[^/]+/)*"
        else:
            expression += _segment(part) + ("" if last else "/")
    return re.compile(f"(?:{expression or '.*'})(?:/.*)?\\Z", re.DOTALL)


def _segment(part: str) -> str:
    expression, position = "", 0
    while position < len(part):
        character = part[position]
        position += 1
        if character == "*":
            expression += "[^/]*"
        elif character == "?":
            expression += "[^/]"
        elif character == "\\" and position < len(part):
            expression += re.escape(part[position])
            position += 1
        elif character == "[" and (end := part.find("]", position + 1)) > 0:
            expression += _character_class(part[position:end])
            position = end + 1
        else:
            expression += re.escape(character)
    return expression


def _character_class(body: str) -> str:
    negated = body.startswith(("!", "^"))
    characters = body[negated:]
    members, position = "", 0
    while position < len(characters):
        first = characters[position]
        if characters[position + 1 : position + 2] == "-" and position + 2 < len(characters):
            last = characters[position + 2]
            if first <= last:
                members += f"{re.escape(first)}-{re.escape(last)}"
            position += 3
        else:
            members += re.escape(first)
            position += 1
    if negated:
        return f"[^/{members}]"
    return f"[{members}]" if members else "(?!)"
