"""Secrets in output become `***`, however they are encoded and wherever the output is cut into pieces."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

MASK: Final = b"***"
#: Lines of a multi-line secret shorter than this are not masked alone: `{` or `EOF` would mask half of the output.
LINE_LEAST: Final = 4
#: Encoded forms shorter than this are not masked: two characters of base64 stand everywhere.
ENCODED_LEAST: Final = 4
#: Where base64 tools break their lines (base64(1); PEM).
WRAPS: Final = (76, 64)
#: Up to so many bytes of patterns the automaton is a table (550 MB/s for 50 secrets in 265 forms, 8 ms to build,
#: about 512 bytes of memory for each byte of a pattern), beyond it a compact one (330 MB/s). `re` does 3 MB/s.
TABLE_MOST_BYTES: Final = 32 * 1024
_HEAD_BYTES = 4


class Masker:
    """Masks a stream. What may be the beginning of a secret is held back until more is fed, or `flush`.

    Secrets that overlap are masked together as one. However a stream is cut into pieces, the result is the same.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[bytes] = set()
        self._patterns: _Patterns | None = None
        self._held = b""
        self._masked = 0  #: so many bytes at the beginning of `_held` stand behind a mask that was given out
        for secret in secrets:
            self._forms.update(forms(secret))

    def add(self, secret: str) -> None:
        """Mask this too, in all that is given out from now on."""
        new = forms(secret) - self._forms
        if new:
            self._forms |= new
            self._patterns = None

    def feed(self, data: bytes) -> bytes:
        """Masked bytes, as far as they are certain. Without a secret in it the same object comes back."""
        if not self._forms:
            return data
        return self._mask(data, last=False)

    def flush(self) -> bytes:
        """What is held back, masked: a step has ended, a secret does not go on in the next one."""
        return self._mask(b"", last=True) if self._held else b""

    def contains(self, text: str) -> bool:
        """Whether something in it would be masked."""
        return bool(self._forms) and self._compiled().any(text.encode("utf-8", "surrogateescape"))

    def mask(self, text: str) -> str:
        """A whole text, masked: a message, a summary. Leaves the stream alone."""
        if not self.contains(text):
            return text
        other = Masker()
        other._forms, other._patterns = self._forms, self._patterns
        data = text.encode("utf-8", "surrogateescape")
        return (other.feed(data) + other.flush()).decode("utf-8", "surrogateescape")

    def _compiled(self) -> _Patterns:
        if self._patterns is None:
            self._patterns = _compile(frozenset(self._forms))
        return self._patterns

    def _mask(self, data: bytes, *, last: bool) -> bytes:
        patterns = self._compiled()
        buffer = self._held + data if self._held else data
        cut = len(buffer) if last else patterns.certain(buffer)
        given = 0  #: up to here the buffer is given out or stands behind a mask
        stop = self._masked  #: where the newest mask ends
        out: list[bytes | memoryview] = []
        view = memoryview(buffer)
        for start, match_stop in patterns.find(buffer):
            if start >= cut:
                break
            if start >= stop:
                out += (view[max(given, stop) : start], MASK)
                given = start
            stop = max(stop, match_stop)
        if not out and not stop and cut == len(buffer):
            self._held = b""
            return buffer
        if stop < cut:
            out.append(view[max(given, stop) : cut])
        self._masked = 0 if last else max(stop - cut, 0)
        self._held = b"" if last else buffer[cut:]
        return b"".join(out)


class _Patterns:
    """All forms of some secrets, compiled."""

    def __init__(self, patterns: frozenset[bytes]) -> None:
        self._sorted = sorted(patterns)
        self._longest = max(map(len, patterns))
        self._automaton = _automaton(self._sorted)
        self._heads = _automaton(
            sorted({pattern[:_HEAD_BYTES] for pattern in patterns if len(pattern) > _HEAD_BYTES})
        )

    def any(self, data: bytes) -> bool:
        assert self._automaton is not None
        return bool(self._automaton.find_matches_as_indexes(data))

    def find(self, data: bytes) -> list[tuple[int, int]]:
        """(start, stop) of all occurrences, overlapping ones too, by start."""
        assert self._automaton is not None
        found = self._automaton.find_matches_as_indexes(data, overlapping=True)
        return sorted((start, stop) for _, start, stop in found) if found else []

    def certain(self, data: bytes) -> int:
        """Up to where nothing that is to come can change what is masked: from there on `data` may be a pattern's beginning."""
        first = max(len(data) - self._longest + 1, 0)
        if self._heads is not None:
            tail = data[first:]
            for _, start, _ in self._heads.find_matches_as_indexes(tail, overlapping=True):
                if self._begins(tail[start:]):
                    return first + start
        for start in range(max(len(data) - _HEAD_BYTES + 1, first), len(data)):
            if self._begins(data[start:]):
                return start
        return len(data)

    def _begins(self, data: bytes) -> bool:
        """Whether a longer pattern begins with this."""
        at = bisect_left(self._sorted, data)
        if at < len(self._sorted) and self._sorted[at] == data:
            at += 1
        return at < len(self._sorted) and self._sorted[at].startswith(data)


_compiled: WeakValueDictionary[frozenset[bytes], _Patterns] = WeakValueDictionary()


def _compile(patterns: frozenset[bytes]) -> _Patterns:
    """Attempts of one run mostly have the same secrets: they share what is compiled of them, as long as one lives."""
    known = _compiled.get(patterns)
    if known is None:
        known = _compiled[patterns] = _Patterns(patterns)
    return known


def _automaton(patterns: list[bytes]) -> BytesAhoCorasick | None:
    if not patterns:
        return None
    from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

    small = sum(map(len, patterns)) <= TABLE_MOST_BYTES
    return BytesAhoCorasick(
        patterns,
        matchkind=MatchKind.Standard,
        implementation=Implementation.DFA if small else Implementation.ContiguousNFA,
    )


def forms(secret: str) -> set[bytes]:
    """All that is masked for a secret: itself, its lines, and what it looks like encoded.

    White space around it does not count: tools add and take it away.
    """
    whole = secret.strip()
    if not whole or set(whole) == {"*"}:
        return set()
    found = set(_encodings(whole))
    lines = [line.strip() for line in whole.splitlines()]
    if len(lines) > 1:
        for line in lines:
            if len(line) >= LINE_LEAST:
                found.update(_escapes(line))
    return found


def _encodings(text: str) -> Iterator[bytes]:
    data = text.encode("utf-8", "surrogateescape")
    yield from _escapes(text)
    for encoded in _base64(data):
        yield encoded
        yield encoded.replace(b"+", b"-").replace(b"/", b"_")


def _escapes(text: str) -> Iterator[bytes]:
    """As it is, and as URLs, JSON and shells write it."""
    from json import dumps
    from urllib.parse import quote, quote_plus

    data = text.encode("utf-8", "surrogateescape")
    yield data
    for quoted in (quote(data), quote(data, safe=""), quote_plus(data)):
        yield quoted.encode()
        yield _lower_escapes(quoted).encode()
    for escaped in (dumps(text)[1:-1], dumps(text, ensure_ascii=False)[1:-1]):
        yield escaped.encode("utf-8", "surrogateescape")
        yield escaped.replace("/", "\\/").encode("utf-8", "surrogateescape")
    yield text.replace("'", "'\\''").encode("utf-8", "surrogateescape")  # how `set -x` shows it


def _lower_escapes(quoted: str) -> str:
    """%2F as %2f."""
    first, *rest = quoted.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


def _base64(data: bytes) -> Iterator[bytes]:
    """What base64 makes of it, whatever stands before and after: only characters that come from it alone.

    A text that begins with it may be broken into lines: then the lines. Source: the three alignments are those of GitHub's
    runner (ValueEncoders.cs).
    """
    from base64 import b64encode

    for before, skip in ((0, 0), (1, 2), (2, 3)):
        encoded = b64encode(b"\0" * before + data)[skip : (before + len(data)) * 8 // 6]
        if len(encoded) >= ENCODED_LEAST:
            yield encoded
        if not before:
            for width in WRAPS:
                pieces = [encoded[at : at + width] for at in range(0, len(encoded), width)]
                yield from (piece for piece in pieces if len(pieces) > 1 and len(piece) >= 2 * ENCODED_LEAST)
