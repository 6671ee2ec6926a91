"""Parts of a log as pages and searches want them: lines by number. All of it blocks: call it in a thread."""

from __future__ import annotations

from typing import Final

from relevo.domain.ids import AttemptKey
from relevo.logs.contract import LogStore
from relevo.logs.lines import Line, LineCutter
from relevo.orchestrator.api import LogLines, LogMatch, LogMatches, LogState

#: Lines of one answer at most.
MOST_LINES: Final = 2_000
#: Text of one answer, about.
MOST_BYTES: Final = 4 << 20
#: What one search looks through: it comes back in well under a second, and goes on when it is asked again.
SEARCHED_BYTES: Final = 64 << 20
MOST_MATCHES: Final = 1_000


def state(logs: LogStore, key: AttemptKey, *, complete: bool) -> LogState:
    """How much there is."""
    size = logs.size(key)
    newlines = logs.lines(key)
    unended = size > 0 and logs.line_offset(key, newlines) < size
    return LogState(key.number, size, newlines + unended, complete)


def lines(logs: LogStore, key: AttemptKey, first: int, count: int, *, complete: bool) -> LogLines:
    """Lines from a number on; below 0 it counts from the end."""
    known = state(logs, key, complete=complete)
    begin = max(0, known.lines_total + first) if first < 0 else min(first, known.lines_total)
    wanted = min(count, MOST_LINES, known.lines_total - begin)
    found: list[Line] = []
    if wanted > 0:
        start = logs.line_offset(key, begin)
        cutter = LineCutter(start)
        for frame in logs.frames(key, start, known.size_bytes):
            found += cutter.feed(frame)
            if len(found) >= wanted or frame.offset + len(frame.data) - start > MOST_BYTES:
                break
        else:
            found += cutter.end()
    return LogLines(begin, found[:wanted], known)


def search(logs: LogStore, key: AttemptKey, text: str, first: int, limit: int) -> LogMatches:
    """Lines with a text, from line `first` on."""
    needle = text.encode()
    fold = text == text.lower()
    start = logs.line_offset(key, first)
    limit = min(limit, MOST_MATCHES)
    found: list[LogMatch] = []
    line = first  # the number of the line that `rest` begins
    rest = b""
    for frame in logs.frames(key, start):
        block = rest + bytes(frame.data)
        stop = block.rfind(b"\n") + 1
        if not stop and len(block) < MOST_BYTES:
            rest = block
            continue
        # A line that is longer than that is looked through in parts.
        whole, rest = (block[:stop], block[stop:]) if stop else (block, b"")
        if _matches(whole, needle, fold, line, found, limit):
            return LogMatches(found, found[-1].line + 1)
        line += whole.count(b"\n")
        if frame.offset - start >= SEARCHED_BYTES:
            return LogMatches(found, line)
    if rest and _matches(rest, needle, fold, line, found, limit):
        return LogMatches(found, found[-1].line + 1)
    return LogMatches(found, None)


def _matches(block: bytes, needle: bytes, fold: bool, line: int, found: list[LogMatch], limit: int) -> bool:
    """Add the lines of a block that match, one match for each; whether the limit is reached."""
    folded = block.lower() if fold else block
    reached = 0
    at = folded.find(needle)
    while at >= 0:
        begin = block.rfind(b"\n", 0, at) + 1
        end = block.find(b"\n", at)
        end = len(block) if end < 0 else end
        line += block.count(b"\n", reached, begin)
        reached = begin
        # A long line is told from a little before the match.
        told = max(begin, at - 200) if end - begin > 2_000 else begin
        column = len(block[begin:at].decode("utf-8", "replace"))
        shown = block[told : min(end, told + 2_000)].decode("utf-8", "replace").rstrip("\r")
        found.append(LogMatch(line, column, shown))
        if len(found) >= limit:
            return True
        at = folded.find(needle, end)
    return False
