"""engine.log: structured, bounded, and not on the terminal."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from relevo.core import measured
from relevo.domain.errors import UserError
from relevo.runtime.notices import NOTICES, TERMINAL
from relevo.telemetry.diary import BURST, Diary, Keeping, Wish, wish

LOG = logging.getLogger("relevo.test")
USUAL = Wish()


class Kept:
    """A diary in a file, and its clock."""

    def __init__(self, folder: Any, wanted: Wish, **more: Any) -> None:
        self.path = folder / "engine.log"
        self.now_s = 1_000.0
        self.diary = Diary(str(self.path), wanted, now=lambda: self.now_s, **more)

    @property
    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()


@pytest.fixture
def keep(tmp_path, monkeypatch):
    made = []

    def make(wanted: Wish = USUAL, **more: Any) -> Kept:
        kept = Kept(tmp_path, wanted, **more)
        LOG.addHandler(kept.diary)
        made.append(kept)
        return kept

    monkeypatch.setattr(LOG, "propagate", False)
    yield make
    for kept in made:
        LOG.removeHandler(kept.diary)
        kept.diary.close()


def test_json_for_programs(keep):
    kept = keep(Wish(form="json"))
    about = {"run": "01abc", "job": 3, "attempt": 1, "cause": "record 7"}
    try:
        raise ValueError("no\nway")
    except ValueError:
        LOG.exception("an attempt %s", "failed", extra=about)
    (line,) = kept.lines
    told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert "ValueError: no\nway" in told.pop("exception")
    assert told == {"level": "error", "logger": "relevo.test", "message": "an attempt failed", **about}


def test_logfmt_for_people(keep):
    kept = keep()
    LOG.warning('a "quoted" text\nof two lines', extra={"run": "01abc"})
    LOG.warning("plain")
    first, second = (line.partition(" ")[2] for line in kept.lines)
    assert first == r'level=warning logger=relevo.test message="a \"quoted\" text\nof two lines" run=01abc'
    assert second == "level=warning logger=relevo.test message=plain"


def test_no_file_before_there_is_something_to_say(keep):
    kept = keep()
    LOG.info("not of this level")
    assert not kept.path.exists()
    LOG.warning("now")
    assert kept.path.stat().st_mode & 0o777 == 0o600


def test_repeated_messages_are_left_out_and_counted(keep):
    kept = keep()
    before = measured.DIARY_LINES_LEFT_OUT.value
    for number in range(BURST + 100):
        LOG.warning("held up for %d ms", number)
    LOG.warning("another one")
    assert len(kept.lines) == BURST + 1
    assert measured.DIARY_LINES_LEFT_OUT.value == before + 100
    kept.now_s += 1
    LOG.warning("held up for %d ms", 7)
    assert kept.lines[-1].endswith('message="held up for 7 ms" left_out=100')
    kept.now_s += 1
    LOG.warning("held up for %d ms", 8)
    assert "left_out" not in kept.lines[-1]


def test_what_differs_each_time_is_bounded_by_the_files_size(keep):
    kept = keep(size_bytes=10_000)
    for number in range(1_000):
        LOG.warning(f"another message each time: {number}")
    old = kept.path.with_name("engine.log.1")
    assert kept.path.stat().st_size <= 10_000
    assert old.stat().st_size <= 10_000
    assert kept.lines[-1].endswith('"another message each time: 999"')
    assert len(list(kept.path.parent.iterdir())) == 2


def test_a_next_process_goes_on_in_the_file(keep, tmp_path):
    keep()
    LOG.warning("first")
    LOG.handlers[0].close()
    second = Kept(tmp_path, Wish())
    second.diary.emit(logging.LogRecord("relevo", logging.WARNING, "", 0, "second", (), None))
    second.diary.close()
    assert [line.rpartition("=")[2] for line in second.lines] == ["first", "second"]


def test_a_file_that_cannot_be_written_hurts_nobody(tmp_path):
    diary = Diary(str(tmp_path / "nowhere" / "engine.log"), Wish())
    diary.handle(logging.LogRecord("relevo", logging.ERROR, "", 0, "lost", (), None))
    diary.close()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", Wish()),
        ("debug", Wish("debug")),
        (" Info , JSON ", Wish("info", "json")),
        ("error,stderr,logfmt", Wish("error", "logfmt", True)),
    ],
)
def test_what_is_asked_for(text, wanted):
    assert wish({"RELEVO_LOG": text}) == wanted


def test_a_word_that_is_none_is_told():
    with pytest.raises(UserError, match="'verbose' is no word of it") as caught:
        wish({"RELEVO_LOG": "verbose"})
    assert "debug" in str(caught.value.hint)


def test_the_terminal_has_notices_and_one_line_of_what_went_wrong(tmp_path, capsys, monkeypatch):
    path = str(tmp_path / "engine.log")
    keeping = Keeping(path, Wish(level="info"))
    try:
        logging.getLogger("relevo.loop").warning("the event loop was held up for %d ms", 300)
        NOTICES.warning("logs wait: %s", "disk\x1b[2J full")
        logging.getLogger("asyncio").error("run r cannot be read\nmore", exc_info=ValueError("bad page"))
        logging.getLogger("urllib3").error("a library's own trouble")
        logging.getLogger("relevo.x").info("said")
    finally:
        keeping.close()
        keeping.close()
    NOTICES.debug("nobody hears this")
    assert capsys.readouterr().err.splitlines() == [
        "relevo: logs wait: disk�[2J full",
        "relevo: run r cannot be read",
        f"  {path} tells more",
    ]
    text = (tmp_path / "engine.log").read_text()
    assert text.count("level=") == 5
    assert "ValueError: bad page" in text
    assert TERMINAL not in logging.getLogger().handlers
