"""Which file `relevo run [FILE|NAME]` means."""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

from relevo.domain.errors import UserError

FOLDERS: Final = (".github/workflows", ".relevo/workflows")
FILES: Final = ("relevo.yml", "relevo.yaml")
ENDINGS: Final = (".yml", ".yaml")
#: Larger files are no workflows.
SIZE_LIMIT: Final = 4 << 20
_NAME: Final = re.compile(rb"^name:[ \t]*(['\"]?)(.*?)\1[ \t]*(?:#.*)?$", re.MULTILINE)


class Found(NamedTuple):
    """A workflow file."""

    path: str  #: as it is shown: relative to the working tree where it lies in it
    text: bytes
    directory: str  #: the working tree, absolute


def root(start: str) -> str:
    """The working tree that a folder belongs to: the nearest one with `.git`, else the folder itself.

    Raises UserError when the current folder is gone.
    """
    try:
        folder = os.path.abspath(start)
    except FileNotFoundError:
        raise UserError(
            "the folder that you are in does not exist any more", hint="change into another one: cd"
        ) from None
    while not os.path.lexists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return os.path.abspath(start)
        folder = parent
    return folder


def candidates(directory: str) -> list[str]:
    """The workflow files of a working tree, relative to it."""
    found = [name for name in FILES if os.path.isfile(os.path.join(directory, name))]
    for folder in FOLDERS:
        try:
            names = sorted(os.listdir(os.path.join(directory, folder)))
        except OSError:
            continue
        found += [f"{folder}/{name}" for name in names if name.endswith(ENDINGS)]
    return found


def find(asked: str | None, start: str = ".") -> Found:
    """The workflow that is meant: a file, `-` for stdin, or the name of one; None: the only one there is.

    Raises UserError that says what there is instead.
    """
    directory = root(start)
    if asked == "-":
        import sys

        return Found("-", sys.stdin.buffer.read(SIZE_LIMIT + 1), directory)
    if asked is not None:
        path = os.path.join(start, asked)
        if os.path.isfile(path):
            tree = directory if _inside(path, directory) else root(os.path.dirname(os.path.abspath(path)))
            return _read(path, tree)
        if os.path.isdir(path):
            raise UserError(f"{asked} is a folder", hint="name a workflow file, or change into the folder")
        if "/" in asked or asked.endswith(ENDINGS):
            by_name = [known for known in candidates(directory) if os.path.basename(known) == asked]
            if not by_name:
                raise UserError(f"there is no file {asked}", hint=_choice(candidates(directory)))
            return _read(os.path.join(directory, by_name[0]), directory)
    return _named(asked, directory)


def _named(asked: str | None, directory: str) -> Found:
    known = candidates(directory)
    if asked is None:
        if len(known) == 1:
            return _read(os.path.join(directory, known[0]), directory)
        if not known:
            raise UserError(
                f"there is no workflow in {directory}",
                hint="relevo init writes a first one; or name a file: relevo run FILE",
            )
        raise UserError("there are several workflows: which one?", hint=_choice(known, directory))
    matching = [path for path in known if _matches(asked, path, directory)]
    if len(matching) == 1:
        return _read(os.path.join(directory, matching[0]), directory)
    if matching:
        raise UserError(
            f"several workflows are called {asked!r}: which one?", hint=_choice(matching, directory)
        )
    raise UserError(f"there is no workflow {asked!r}", hint=_choice(known, directory))


def _matches(asked: str, path: str, directory: str) -> bool:
    stem = os.path.basename(path).rpartition(".")[0]
    return asked == stem or asked.casefold() == _title(os.path.join(directory, path)).casefold()


def _title(path: str) -> str:
    """The `name:` of a workflow, at a glance: to choose by, without reading YAML."""
    try:
        with open(path, "rb") as file:
            found = _NAME.search(file.read(65_536))
    except OSError:
        return ""
    return found[2].decode("utf-8", "replace") if found else ""


def _choice(known: list[str], directory: str | None = None) -> str:
    if not known:
        return "relevo init writes a first one; or name a file: relevo run FILE"
    lines = []
    for path in known:
        title = _title(os.path.join(directory, path)) if directory else ""
        lines.append(f"  relevo run {path}{f'   ({title})' if title else ''}")
    return "\n".join(["choose one:", *lines])


def _inside(path: str, directory: str) -> bool:
    return os.path.abspath(path).startswith(directory.rstrip("/") + "/")


def _read(path: str, directory: str) -> Found:
    shown = os.path.relpath(path, directory) if _inside(path, directory) else path
    try:
        with open(path, "rb") as file:
            text = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if len(text) > SIZE_LIMIT:
        raise UserError(f"{path} is larger than {SIZE_LIMIT >> 20} MiB: that is no workflow file")
    return Found(shown, text, directory)
