from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relevo.agent.log_commands import LogCommand, parse
from relevo.agent.output import COMMAND_LIMIT_BYTES, OutputScanner


def scanned(*chunks: bytes) -> tuple[bytes, list[tuple[int, str, str]]]:
    """What was written, and each command with how much was written before it if it is an add-mask."""
    out = bytearray()
    commands: list[tuple[int, str, str]] = []

    def heed(command: LogCommand) -> None:
        commands.append((len(out) if command.name == "add-mask" else 0, command.name, command.data))
        if command.name == "stop-commands":
            scanner.resume_token = command.data

    scanner = OutputScanner(heed, out.extend)
    for chunk in chunks:
        scanner.feed(chunk)
    scanner.flush()
    return bytes(out), commands


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"::error::no", ("error", "no", {})),
        (b"  \t::error::no\r", ("error", "no", {})),
        (b"::ERROR::no", ("error", "no", {})),
        (
            b"::warning file=a.py,line=3,col=7,title=T%3A%2C::a%0Ab%25",
            ("warning", "a\nb%", {"file": "a.py", "line": "3", "col": "7", "title": "T:,"}),
        ),
        (b"::set-output name=x::a::b", ("set-output", "a::b", {"name": "x"})),
        (b"::error file=a%0Ab::", ("error", "", {"file": "a\nb"})),
        (b"::error::100%3A%2C", ("error", "100%3A%2C", {})),
        (b"::notice  title=a b , file = c::x", ("notice", "x", {"title": "a b ", "file": " c"})),
        (b"::error junk,line=2::x", ("error", "x", {"line": "2"})),
        (b"##[group]Run it", ("group", "Run it", {})),
        (b"##[error line=1;file=a%3Bb]x%5D", ("error", "x]", {"line": "1", "file": "a;b"})),
        (b"::add-matcher::x.json", ("add-matcher", "x.json", {})),
        (b"::endgroup::", ("endgroup", "", {})),
        (b"::error::\xff\xfe", ("error", "\ufffd\ufffd", {})),
    ],
)
def test_commands(line: bytes, expected: tuple[str, str, dict[str, str]]) -> None:
    command = parse(line)
    assert command is not None
    assert (command.name, command.data, command.properties) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"error::x",
        b"x ::error::no",
        b"::error",
        b"::error no",
        b"::unknown::x",
        b"::std::string x",
        b"::::",
        b": :error::x",
        b"##[unknown]x",
        b"##[error x",
        b"#[error]x",
    ],
)
def test_plain_lines(line: bytes) -> None:
    assert parse(line) is None


def test_only_the_token_resumes() -> None:
    assert parse(b"::error::x", "token") is None
    assert parse(b"::TOKEN::", "token") is not None


def test_commands_stand_at_the_beginning_of_lines() -> None:
    out, commands = scanned(b"a ::error::no\n::error::yes\n  ::error::too\nend ::error::no")
    assert [data for _, _, data in commands] == ["yes", "too"]
    assert out == b"a ::error::no\n::error::yes\n  ::error::too\nend ::error::no"


def test_a_command_is_heeded_before_its_line_and_after_what_stands_before() -> None:
    _, commands = scanned(b"abc\n::add-mask::x\n")
    assert commands == [(4, "add-mask", "x")]


def test_a_last_line_without_newline_counts() -> None:
    assert scanned(b"x\n::error::a")[1] == [(0, "error", "a")]


def test_stopped_commands_are_plain_output_until_the_token() -> None:
    text = b"::stop-commands::tok\n::error::no\n::endgroup::\n::tok::\n::error::yes\n"
    out, commands = scanned(text)
    assert [(name, data) for _, name, data in commands] == [("stop-commands", "tok"), ("error", "yes")]
    assert out == text


def test_a_line_that_is_too_long_is_plain() -> None:
    line = b"::error::" + b"x" * COMMAND_LIMIT_BYTES
    for chunks in ([line + b"\n"], [line[:5], line[5:], b"\n"], [line[:70_000], line[70_000:] + b"\n"]):
        out, commands = scanned(*chunks)
        assert commands == []
        assert out == line + b"\n"


def test_plain_output_is_not_copied() -> None:
    written: list[bytes] = []
    scanner = OutputScanner(lambda command: None, written.append)
    data = b"some line\n" * 1000
    scanner.feed(data)
    assert written[0] is data


def test_a_line_that_cannot_be_a_command_is_not_held() -> None:
    written: list[bytes] = []
    scanner = OutputScanner(lambda command: None, written.append)
    scanner.feed(b"Password? ")
    assert written == [b"Password? "]


_PIECES = st.sampled_from(
    [
        b"\n",
        b"\r\n",
        b" ",
        b":",
        b"::",
        b"#",
        b"##[",
        b"##[error]x",
        b"::error::a",
        b"::warning file=x::y",
        b"::add-mask::geheim",
        b"::stop-commands::t",
        b"::t::",
        b"\n::error::b\n",
        b"std::string",
        b"\xff\x00",
        b"text",
        b"::" + b"z" * 40_000,
        b" " * 40_000,
    ]
)


@given(st.lists(_PIECES, max_size=20), st.lists(st.integers(0, 200), max_size=20))
@example([b"\n", b"::error::a", b"\n"], [1, 2, 3, 4, 5])
def test_any_cut_gives_the_same(pieces: list[bytes], cuts: list[int]) -> None:
    text = b"".join(pieces)
    chunks = []
    position = 0
    for cut in cuts:
        chunks.append(text[position : position + cut])
        position += cut
    chunks.append(text[position:])
    assert scanned(*chunks) == scanned(text)
    assert scanned(text)[0] == text


@given(st.lists(_PIECES, max_size=12))
def test_commands_are_those_of_the_lines(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    expected = []
    token: str | None = None
    for line in text.split(b"\n"):
        command = parse(line, token) if len(line) <= COMMAND_LIMIT_BYTES else None
        if command is None:
            continue
        if token is not None:
            token = None
            continue
        expected.append((command.name, command.data))
        if command.name == "stop-commands":
            token = command.data
    assert [(name, data) for _, name, data in scanned(text)[1]] == expected
