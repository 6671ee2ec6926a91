"""Addresses of servers, and the tokens that are kept for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relevo.assembly.remote import logins
from relevo.domain.errors import UserError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("RELEVO_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("127.0.0.1:7878", "http://127.0.0.1:7878"),
        (" http://LOCALHOST:80/ ", "http://localhost"),
        ("https://CI.example.org:443", "https://ci.example.org"),
        ("https://ci.example.org:8443/relevo/", "https://ci.example.org:8443/relevo"),
        ("http://[::1]:7878", "http://[::1]:7878"),
    ],
)
def test_an_address_has_one_form(given: str, address: str) -> None:
    assert logins.normal(given) == address
    assert logins.normal(address) == address


@pytest.mark.parametrize(
    "given",
    [
        "",
        "http://",
        "ftp://a",
        "http://a:b@c",
        "http://a?b",
        "http://a#token=b",
        "http://a:99999",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(UserError):
        logins.normal(given)


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]", True),
        ("http://localhost", True),
        ("http://a.localhost", True),
        ("http://10.0.0.1", False),
        ("https://localhost.example.org", False),
    ],
)
def test_loopback_is_known(address: str, here: bool) -> None:
    assert logins.is_loopback(address) is here


def test_tokens_are_kept_by_address_for_their_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = "http://one", "http://other"
    assert logins.token_for(one) is None
    old = os.umask(0)
    try:
        where = logins.keep(one, "rlv_1")
        logins.keep(other, "rlv_2")
    finally:
        os.umask(old)
    assert os.stat(where).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(where)).st_mode & 0o777 == 0o700
    assert os.listdir(os.path.dirname(where)) == ["tokens.json"]
    assert (logins.token_for(one), logins.token_for(other)) == ("rlv_1", "rlv_2")
    monkeypatch.setenv("RELEVO_TOKEN", " rlv_3\n")
    assert logins.token_for(one) == "rlv_3"
    monkeypatch.delenv("RELEVO_TOKEN")
    assert logins.known() == [one, other]
    assert logins.forget(one)
    assert not logins.forget(one)
    assert logins.known() == [other]


@pytest.mark.parametrize("text", [b"", b"[]", b'{"http://a": 1}'])
def test_a_file_without_tokens_gives_none(text: bytes) -> None:
    Path(logins.keep("http://a", "rlv_1")).write_bytes(text)
    assert logins.token_for("http://a") is None


@pytest.mark.parametrize("text", [b"{", b"\xff"])
def test_a_file_that_was_spoilt_is_told(text: bytes) -> None:
    Path(logins.keep("http://a", "rlv_1")).write_bytes(text)
    with pytest.raises(UserError, match="cannot be read"):
        logins.token_for("http://a")


def test_what_others_can_read_is_not_used() -> None:
    where = Path(logins.keep("http://a", "rlv_1"))
    where.chmod(0o640)
    with pytest.raises(UserError, match="can be read by others"):
        logins.token_for("http://a")


@pytest.mark.parametrize("token", ["", "two words", "ümlaut", "a\nb", "\x00"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(UserError, match="holds no token"):
        logins.checked(token, "it")
