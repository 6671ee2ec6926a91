"""Who may ask: rules, and the same over real sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.runtime.entropy import SeededEntropy
from relevo.server.access import MOST_SESSIONS, SESSION_S, Access, host_name, is_loopback
from relevo.server.app import Limits
from tests.unit.server.conftest import Up, workflow


def opened(folder: Path, seed: int = 1) -> Access:
    access = Access(str(folder), SeededEntropy(seed))
    access.open()
    return access


def test_the_token_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert first.made is not None
    assert (tmp_path / "token").read_text().strip() == first.made
    for name in ("token", "access"):
        assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o600
    assert first.made not in (tmp_path / "access").read_text()
    again = opened(tmp_path, 2)
    assert again.made is None
    assert again.knows(first.made)
    assert not again.knows(first.made + "x")
    assert not again.knows("")


def test_the_token_works_without_its_file_and_another_one_ends_all_sessions(tmp_path: Path) -> None:
    first = opened(tmp_path)
    secret = first.begin(1000.0)
    (tmp_path / "token").unlink()
    kept = opened(tmp_path, 2)
    assert kept.made is None
    assert kept.knows(first.made or "")
    assert kept.goes_on(secret, 1001.0)
    (tmp_path / "token").write_text("another\n")
    changed = opened(tmp_path, 3)
    assert changed.knows("another")
    assert not changed.knows(first.made or "")
    assert not changed.goes_on(secret, 1001.0)


def test_sessions_end_by_age_by_wish_and_when_there_are_too_many(tmp_path: Path) -> None:
    access = opened(tmp_path)
    secret = access.begin(0.0)
    assert access.goes_on(secret, SESSION_S - 1)
    assert not access.goes_on(secret, SESSION_S + 1)
    ended = access.begin(0.0)
    access.end(ended)
    assert not opened(tmp_path).goes_on(ended, 1.0)
    assert opened(tmp_path).goes_on(secret, 1.0)
    for _ in range(MOST_SESSIONS):
        access.begin(1.0)
    assert not access.goes_on(secret, 2.0)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:7878", "localhost"),
        ("LOCALHOST", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]:7878", "::1"),
        ("[::1", ""),
        ("[::1]evil", ""),
        ("ci.example.org.:80", "ci.example.org"),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert host_name(header) == name


@given(st.text(max_size=60))
def test_any_host_header_is_taken_apart(header: str) -> None:
    name = host_name(header)
    if is_loopback(name):
        assert (
            name in ("localhost", "::1")
            or name.endswith(".localhost")
            or name.startswith(("127.", "::", "0"))
        )


async def test_only_who_has_the_token_is_answered(up: Up) -> None:
    assert (await up.client("GET", "/api/v1/server")).status == 200
    token = up.client.token
    for wrong in (token[:-1], token + "0", "x"):
        up.client.token = wrong
        reply = await up.client("GET", "/api/v1/server")
        assert (reply.status, reply.headers["content-type"]) == (401, "application/problem+json")
        assert reply.headers["www-authenticate"].startswith("Bearer")
    up.client.token = ""
    assert (await up.client("GET", "/api/v1/server")).status == 401
    assert (await up.client("GET", "/api/v1/server", Authorization=f"Basic {token}")).status == 401


async def test_a_session_of_the_page(up: Up) -> None:
    token, up.client.token = up.client.token, ""
    assert (await up.client("POST", "/api/v1/session", {"token": "wrong"})).status == 401
    begun = await up.client("POST", "/api/v1/session", {"token": token})
    assert begun.status == 204
    set_cookie = begun.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in set_cookie.split(";")}
    cookie = set_cookie.partition(";")[0]
    assert token not in cookie
    assert (await up.client("GET", "/api/v1/server", Cookie=cookie)).status == 200
    given = {"workflow": {"path": "w", "text": workflow("true")}}
    host = f"127.0.0.1:{up.client.address[1]}"
    sites = {
        "none told": ({}, 403),
        "another site": ({"Sec_Fetch_Site": "cross-site"}, 403),
        "another port of this host": ({"Sec_Fetch_Site": "same-site"}, 403),
        "another origin": ({"Origin": "http://evil.example"}, 403),
        "a prefix of ours": ({"Origin": f"http://{host}.evil.example"}, 403),
        "ours": ({"Sec_Fetch_Site": "same-origin"}, 201),
        "ours, of an older browser": ({"Origin": f"http://{host}"}, 201),
    }
    for site, (headers, status) in sites.items():
        reply = await up.client("POST", "/api/v1/runs", given, Cookie=cookie, **headers)
        assert reply.status == status, site
    ended = await up.client("DELETE", "/api/v1/session", Cookie=cookie, Sec_Fetch_Site="same-origin")
    assert ended.status == 204
    assert "Max-Age=0" in ended.headers["set-cookie"]
    assert (await up.client("GET", "/api/v1/server", Cookie=cookie)).status == 401
    stranger = await up.client("POST", "/api/v1/session", {"token": token}, Origin="http://evil.example")
    assert stranger.status == 403
    up.client.token = token


async def test_other_names_are_refused_as_a_page_elsewhere_could_lead_them_here(up: Up) -> None:
    for host, status in {
        "localhost": 200,
        "127.0.0.1:7878": 200,
        "[::1]:7878": 200,
        "evil.example": 403,
        "127.0.0.1.evil.example": 403,
        "10.0.0.1": 403,
    }.items():
        assert (await up.client("GET", "/api/v1/server", Host=host)).status == status, host
    assert (await up.client("GET", "/", Host="evil.example")).status == 403
    twice = up.client.head("GET", "/healthz").replace(b"\r\n\r\n", b"\r\nHost: localhost\r\n\r\n")
    assert (await up.client.raw(twice)).status == 400


async def test_wrong_tokens_are_slowed_down_and_right_ones_wait_with_them(made: Up) -> None:
    await made.open(Limits(wrong_rate=0.001, wrong_burst=3))
    token, made.client.token = made.client.token, "wrong"
    seen = [(await made.client("GET", "/api/v1/server")).status for _ in range(5)]
    assert seen == [401, 401, 401, 429, 429]
    guessed = await made.client("POST", "/api/v1/session", {"token": "wrong"})
    assert guessed.status == 429
    made.client.token = token
    refused = await made.client("GET", "/api/v1/server")
    assert (refused.status, int(refused.headers["retry-after"]) > 1) == (429, True)
    await made.close()


async def test_who_asks_too_often_is_told_when_to_come_again(made: Up) -> None:
    await made.open(Limits(rate=0.01, burst=5))
    seen = [await made.client("GET", "/healthz") for _ in range(7)]
    assert [reply.status for reply in seen] == [200] * 5 + [429] * 2
    assert 0 < int(seen[-1].headers["retry-after"]) <= 100
    await made.close()
