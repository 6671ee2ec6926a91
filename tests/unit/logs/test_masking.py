"""Masking: whatever the encoding and wherever the stream is cut."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.logs.masking import MASK, TABLE_MOST_BYTES, Masker, forms

SECRET = "hunter2/ünd+more'quoted\" &x"


def whole(secrets: list[str], data: bytes) -> bytes:
    masker = Masker(secrets)
    return masker.feed(data) + masker.flush()


@pytest.mark.parametrize(
    "shown",
    [
        SECRET.encode(),
        quote(SECRET).encode(),
        quote(SECRET, safe="").encode(),
        quote_plus(SECRET).encode(),
        quote_plus(SECRET).lower().encode(),
        json.dumps(SECRET)[1:-1].encode(),
        json.dumps(SECRET, ensure_ascii=False)[1:-1].encode(),
        SECRET.replace("'", "'\\''").encode(),
    ],
)
def test_a_secret_is_masked_in_every_way_it_is_written(shown: bytes) -> None:
    assert whole([SECRET], b"<" + shown + b">") == b"<***>"


@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_masked_at_every_alignment(before: int, after: int, encode: object) -> None:
    secret = "correct horse ?>?>~~ battery"
    shown = encode(b"u" * before + secret.encode() + b":" * after)  # type: ignore[operator]
    out = whole([secret], shown)
    assert MASK in out
    clear = out.replace(MASK, b"")
    assert len(clear) <= len(shown) - len(secret) * 8 // 6 + 3


@pytest.mark.parametrize("width", [64, 76])
def test_base64_broken_into_lines_is_masked(width: int) -> None:
    secret = "".join(chr(33 + n * 7 % 90) for n in range(300))
    shown = base64.b64encode(secret.encode())
    lines = [shown[at : at + width] for at in range(0, len(shown), width)]
    out = whole([secret], b"\n".join(lines))
    assert all(line[:40] not in out for line in lines[:-1])


def test_lines_of_a_secret_are_masked_but_not_short_ones() -> None:
    secret = "-----BEGIN KEY-----\nabcd1234\nxyz\n-----END KEY-----\n"
    assert whole([secret], b"abcd1234 xyz -----END KEY-----") == b"*** xyz ***"
    assert whole([secret], secret.encode()) == b"***\n"


def test_overlapping_secrets_are_masked_together() -> None:
    assert whole(["hunter2-prod", "prod-key-12345"], b"a hunter2-prod-key-12345 b") == b"a *** b"
    assert whole(["abc", "abcdef"], b"abcdefg abcx") == b"***g ***x"
    assert whole(["abc"], b"abcabc") == b"******"


def test_what_may_become_a_secret_is_held_back_and_nothing_else() -> None:
    masker = Masker(["password-of-mine"])
    assert masker.feed(b"the pass") == b"the "
    assert masker.feed(b"word is\n") == b"password is\n"
    assert masker.feed(b"x password-of-") == b"x "
    assert masker.feed(b"mine\n") == b"***\n"
    assert masker.feed(b"password-of") == b""
    assert masker.flush() == b"password-of"
    assert masker.flush() == b""
    assert masker.feed(b"-mine") == b"-mine"


def test_hold_back_is_bounded_though_matches_never_end() -> None:
    masker = Masker(["aaaa"])
    out = b"".join(masker.feed(b"a" * 100) for _ in range(100))
    assert out == MASK
    assert len(masker._held) < 100
    assert masker.flush() == b""


def test_a_secret_added_later_is_masked_from_then_on() -> None:
    masker = Masker()
    assert masker.feed(b"token-1 ") == b"token-1 "
    masker.add("token-1")
    assert masker.feed(b"token-1 tok") == b"*** "
    masker.add("tokens-2")
    assert masker.feed(b"ens-2 !") == b"*** !"


@pytest.mark.parametrize("secret", ["", " ", "\n\t ", "***"])
def test_what_cannot_be_masked_is_ignored(secret: str) -> None:
    assert not forms(secret)
    masker = Masker([secret])
    assert masker.feed(b"a b\n***") == b"a b\n***"
    assert not masker.contains("a b\n***")


def test_output_without_a_secret_is_not_copied() -> None:
    data = b"nothing to see here\n" * 1000
    assert Masker(["swordfish"]).feed(data) is data
    assert Masker().feed(data) is data


def test_contains_and_mask_leave_the_stream_alone() -> None:
    masker = Masker(["swordfish"])
    assert masker.feed(b"sword") == b""
    assert masker.contains("a swordfish")
    assert masker.contains(quote("swordfish"))
    assert not masker.contains("fish")
    assert masker.mask("a swordfish\udc80") == "a ***\udc80"
    assert masker.feed(b"fish") == MASK


def test_many_long_secrets_take_the_compact_automaton() -> None:
    secrets = ["".join(chr(33 + (n * k + k) % 90) for n in range(1700)) for k in range(2, 12)]
    assert sum(len(form) for secret in secrets for form in forms(secret)) > TABLE_MOST_BYTES
    for secret in secrets:
        assert whole(secrets, b"<" + secret.encode() + b">") == b"<***>"


small = st.text(alphabet="ab/ \n\"'é", min_size=0, max_size=12)


@given(st.lists(small, max_size=4), st.data())
def test_any_cutting_gives_the_same_and_leaves_no_secret(secrets: list[str], data: st.DataObject) -> None:
    shown = sorted(form for secret in secrets for form in forms(secret))
    pieces = st.one_of(
        st.binary(max_size=6), small.map(str.encode), *([st.sampled_from(shown)] if shown else [])
    )
    text = b"".join(data.draw(st.lists(pieces, max_size=12)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    expected = whole(secrets, text)
    masker = Masker(secrets)
    out = [masker.feed(text[a:b]) for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert b"".join(out) + masker.flush() == expected
    assert expected == slowly(shown, text)
    if b"*" not in text:
        assert not any(form in expected for form in shown)


def slowly(patterns: list[bytes], text: bytes) -> bytes:
    """The rule itself: every byte that belongs to an occurrence is covered; occurrences that share bytes make one mask."""
    spans = sorted(
        (at, at + len(form)) for form in patterns for at in range(len(text)) if text.startswith(form, at)
    )
    out, stop = b"", 0
    for start, span_stop in spans:
        if start >= stop:
            out += text[stop:start] + MASK
        stop = max(stop, span_stop)
    return out + text[stop:]
