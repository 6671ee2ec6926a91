"""The files through which a step talks back: GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH, GITHUB_STATE, GITHUB_STEP_SUMMARY.

    NAME=value            NAME<<DELIMITER
                          any lines
                          DELIMITER

Source of the format and of the messages: actions/runner, FileCommandManager.cs.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from relevo.domain.errors import RelevoError

#: Variable → what the file is called in messages, in the order in which the files are read.
FILES: Final[dict[str, str]] = {
    "GITHUB_PATH": "path",
    "GITHUB_ENV": "env",
    "GITHUB_STEP_SUMMARY": "summary",
    "GITHUB_STATE": "state",
    "GITHUB_OUTPUT": "output",
}
#: A file beyond this is refused: it would be held in memory whole.
LIMIT_BYTES: Final = 32 << 20
SUMMARY_LIMIT_BYTES: Final = 1 << 20


class CommandFileInvalid(RelevoError):
    """A command file cannot be read as one; the step fails."""


def parse_assignments(text: str) -> list[tuple[str, str]]:
    """The names and values of an output, env or state file, in order; a name may come twice.

    Raises CommandFileInvalid.
    """
    text = text.removeprefix("\ufeff")
    found: list[tuple[str, str]] = []
    position, size = 0, len(text)
    while position < size:
        end = text.find("\n", position)
        if end < 0:
            end = size
        line = text[position:end]
        position = end + 1
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if heredoc >= 0 and (equals < 0 or heredoc < equals):
            name, delimiter = line[:heredoc], line[heredoc + 2 :]
            if not name or not delimiter:
                raise CommandFileInvalid(
                    f"Invalid format '{line}'. Name must not be empty and delimiter must not be empty"
                )
            stop, after = _find_line(text, delimiter, position)
            found.append((name, text[position : max(position, stop - 1)]))
            position = after
        elif equals > 0:
            found.append((line[:equals], line[equals + 1 :]))
        elif equals == 0:
            raise CommandFileInvalid(f"Invalid format '{line}'. Name must not be empty")
        else:
            raise CommandFileInvalid(f"Invalid format '{line}'")
    return found


def _find_line(text: str, line: str, start: int) -> tuple[int, int]:
    # where the next line that is just `line` begins, and where the one after it does
    position = start
    while position <= len(text):
        at = text.find(line, position)
        if at < 0:
            break
        end = at + len(line)
        if (at == start or text[at - 1] == "\n") and (end == len(text) or text[end] == "\n"):
            return at, end + 1
        position = at + 1
    raise CommandFileInvalid(f"Invalid value. Matching delimiter not found '{line}'")


def parse_paths(text: str) -> list[str]:
    """The folders of a path file, one a line, blank ones left out."""
    return [line for line in text.removeprefix("\ufeff").splitlines() if line]


class CommandFiles:
    """The command files of an attempt: made once, read and emptied after each step.

    A step may do with them what it likes: remove them, or put something else in their place.
    """

    __slots__ = ("_folder", "_found", "_problem", "variables")

    def __init__(self, folder: str) -> None:
        self._folder = folder
        #: of a `collect` that could not renew a file, and so told nothing
        self._found: dict[str, bytes] = {}
        self._problem = ""
        #: variable → path, for the environment of steps
        self.variables = {variable: f"{folder}/_{name}" for variable, name in FILES.items()}

    def make(self) -> None:
        """Make them, empty. Raises OSError."""
        for path in self.variables.values():
            _make(path)

    def collect(self) -> dict[str, bytes]:
        """What was written since the last time, by variable, without those that are empty; empties them.

        Raises CommandFileInvalid for one that is too large or no plain file; that one is emptied, too. Raises OSError when
        there is no room: nothing is lost then, and it may be called again.
        """
        found = self._found
        for variable, path in self.variables.items():
            try:
                status = os.lstat(path)
            except OSError:
                self._renew(path)
                continue
            if status.st_size == 0 and stat.S_ISREG(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode):
                self._problem = self._problem or f"${variable} is no plain file any more"
            elif status.st_size > LIMIT_BYTES:
                self._problem = self._problem or (
                    f"${variable} holds {status.st_size >> 20} MB, at most {LIMIT_BYTES >> 20} MB are read"
                )
            else:
                with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                    found[variable] = file.read(LIMIT_BYTES)
            self._renew(path)
        problem, self._found, self._problem = self._problem, {}, ""
        if problem:
            raise CommandFileInvalid(problem)
        return found

    def _renew(self, path: str) -> None:
        # a new file rather than a cut one: what an earlier step left running does not write into a later step's
        try:
            os.unlink(path)
        except FileNotFoundError:
            os.makedirs(self._folder, exist_ok=True)
        except OSError:
            import shutil

            shutil.rmtree(path, ignore_errors=True)
        _make(path)


def _make(path: str) -> None:
    os.mknod(path, 0o666 | stat.S_IFREG)  # one system call instead of open and close
