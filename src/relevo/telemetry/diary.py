"""engine.log and agent.log: what a process has to say to whoever looks into it, structured, bounded, and off the terminal.

One line for each record, as logfmt for people or JSON for programs. RELEVO_LOG says more: words out of a level (`debug`, `info`,
`warning`, `error`), a form (`logfmt`, `json`) and `stderr`, separated by commas.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from time import gmtime, strftime, time
from typing import Any, Final

import msgspec
from msgspec import Struct

from relevo.core.gcra import Gcra
from relevo.core.measured import DIARY_LINES, DIARY_LINES_LEFT_OUT
from relevo.domain.errors import UserError
from relevo.runtime.notices import TERMINAL

#: A file that has grown beyond this becomes `NAME.1`, and the one that was that is gone.
SIZE_BYTES: Final = 5 << 20
#: Of one message, whatever stands in it: at once, and a second in the long run. Further ones are left out and counted.
BURST: Final = 20
RATE: Final = 1.0
#: Messages that are told apart.
_MESSAGES: Final = 1_000
_LINE_CHARACTERS: Final = 16_384

#: What a record is about, in this order: `_log.warning(…, extra={"run": …})`.
ABOUT: Final = ("run", "job", "attempt", "step", "agent", "actor", "cause")
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_FORMS: Final = ("logfmt", "json")


class Wish(Struct, frozen=True):
    """What RELEVO_LOG asks for."""

    level: str = "warning"
    form: str = "logfmt"
    stderr: bool = False


def wish(environment: Mapping[str, str]) -> Wish:
    """What is to be logged, and how. Raises UserError for a word that is none."""
    level, form, stderr = "warning", "logfmt", False
    text = environment.get("RELEVO_LOG", "")
    for word in filter(None, (part.strip().lower() for part in text.split(","))):
        if word in _LEVELS:
            level = word
        elif word in _FORMS:
            form = word
        elif word == "stderr":
            stderr = True
        else:
            words = ", ".join((*_LEVELS, *_FORMS, "stderr"))
            raise UserError(f"RELEVO_LOG={text}: {word!r} is no word of it", hint=f"they are: {words}")
    return Wish(level, form, stderr)


class Diary(logging.Handler):
    """Writes records to a file that does not grow for ever. It is opened with the first record; when it cannot be written,
    nothing is logged, and nobody suffers."""

    def __init__(
        self, path: str, wanted: Wish, *, size_bytes: int = SIZE_BYTES, now: Callable[[], float] = time
    ) -> None:
        super().__init__(_LEVELS[wanted.level])
        self._path = path
        self._line = as_json if wanted.form == "json" else as_logfmt
        self._stderr = wanted.stderr
        self._size_bytes = size_bytes
        self._now = now
        self._file: int | None = None
        self._written = 0
        self._limits: dict[tuple[str, str], tuple[Gcra, list[int]]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            left_out = self._admit(record)
            if left_out is None:
                DIARY_LINES_LEFT_OUT.inc()
                return
            DIARY_LINES.labels(record.levelname.lower()).inc()
            data = self._line(record, left_out).encode("utf-8", "replace")
            if self._stderr:
                sys.stderr.write(data.decode())
            self._write(data)
        except OSError:
            self._shut()

    def close(self) -> None:
        self._shut()
        super().close()

    def _admit(self, record: logging.LogRecord) -> int | None:
        """How many like it were left out since the last one that was not; None: this one is left out."""
        key = (record.name, str(record.msg))
        found = self._limits.get(key)
        if found is None:
            if len(self._limits) >= _MESSAGES:
                self._limits.clear()
            found = self._limits[key] = (Gcra(RATE, BURST), [0])
        limit, silent = found
        if not limit.allow(self._now()):
            silent[0] += 1
            return None
        count, silent[0] = silent[0], 0
        return count

    def _write(self, data: bytes) -> None:
        if self._file is not None and self._written + len(data) > self._size_bytes:
            self._shut()
        if self._file is None:
            turn_over(self._path, self._size_bytes - len(data))
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
            self._written = os.fstat(self._file).st_size
        self._written += os.write(self._file, data)

    def _shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def turn_over(path: str, size_bytes: int = SIZE_BYTES) -> None:
    """Put a log aside as `NAME.1` when it is larger than that. Raises OSError."""
    try:
        if os.stat(path).st_size > max(0, size_bytes):
            os.replace(path, f"{path}.1")
    except FileNotFoundError:
        pass


class Keeping:
    """The diary of this process, and the notices at its terminal; close it."""

    def __init__(self, path: str, wanted: Wish, *, terminal: bool = True) -> None:
        self._handler = Diary(path, wanted)
        self._terminal = terminal
        if terminal:
            TERMINAL.tells_more = path
            TERMINAL.attach()
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self._handler)
        root.setLevel(min(root.level, _LEVELS[wanted.level]))

    def close(self) -> None:
        """Idempotent."""
        root = logging.getLogger()
        if self._handler in root.handlers:
            if self._terminal:
                TERMINAL.detach()
            root.removeHandler(self._handler)
            root.setLevel(self._level)
            self._handler.close()


# --- lines ------------------------------------------------------------------------------------------------------------


def _fields(record: logging.LogRecord, left_out: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "time": f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(record.created))}.{int(record.msecs):03}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _cut(record.getMessage()),
    }
    for name in ABOUT:
        value = getattr(record, name, None)
        if value is not None:
            fields[name] = value if isinstance(value, int) else str(value)
    if left_out:
        fields["left_out"] = left_out
    if record.exc_info and record.exc_info[0] is not None:
        fields["exception"] = _cut(_formatter.formatException(record.exc_info))
    return fields


def as_json(record: logging.LogRecord, left_out: int) -> str:
    """A record as a line of JSON."""
    return _json(_fields(record, left_out)) + "\n"


def as_logfmt(record: logging.LogRecord, left_out: int) -> str:
    """A record as logfmt; an exception follows it, indented."""
    fields = _fields(record, left_out)
    exception = fields.pop("exception", None)
    line = " ".join(f"{name}={_quoted(str(value))}" for name, value in fields.items())
    if exception is not None:
        line += "".join(f"\n    {part}" for part in exception.splitlines())
    return line + "\n"


def _quoted(text: str) -> str:
    plain = text and not any(char in ' "=\\' or not char.isprintable() for char in text)
    return text if plain else _json(text)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _cut(text: str) -> str:
    return text if len(text) <= _LINE_CHARACTERS else f"{text[:_LINE_CHARACTERS]}…"


_formatter: Final = logging.Formatter()
