"""Who may ask: a token for programs, a session in a cookie for the page.

The token lies in the home (`token`, 0600) for those who may read that, and in the server only as a hash (`access`, 0600). Remove
`token` once it is noted elsewhere; remove both, and the next start makes a new one. Sessions are kept as hashes, too, and outlive
the server.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from relevo.runtime.entropy import Entropy
from relevo.server.http import Request
from relevo.server.problems import Problem

COOKIE: Final = "relevo_session"
SESSION_S: Final = 30 * 86_400
#: Sessions at a time; the oldest ends when there are more.
MOST_SESSIONS: Final = 1_000
TOKEN_BYTES: Final = 32
PREFIX: Final = "rlv_"
_CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="relevo"')


class _Kept(Struct):
    """The file `access`."""

    token: str  #: SHA-256 of it; it is 256 bits of chance, so that nothing slower is needed
    sessions: dict[str, int] = {}  #: SHA-256 to when it ends, Unix seconds; oldest first


def digest(secret: str) -> str:
    """What is kept of a token or session."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


class Access:
    """The token and the sessions of one server."""

    def __init__(self, folder: str, entropy: Entropy) -> None:
        """`folder`: the home, which is its owner's alone."""
        self._token_path = f"{folder}/token"
        self._path = f"{folder}/access"
        self._entropy = entropy
        self._kept = _Kept("")
        self.made: str | None = None  #: the token, when `open` made it

    def open(self) -> None:
        """Read what there is, make what there is not. Blocks. Raises OSError, ValueError for a file that is none of ours."""
        token = _read(self._token_path)
        kept = _read(self._path)
        if kept is not None:
            self._kept = msgspec.json.decode(kept, type=_Kept)
        if token is not None and token.strip():
            hashed = digest(token.decode().strip())
            if hashed != self._kept.token:
                self._kept = _Kept(hashed)  # somebody put another one there: sessions of the former end
                self._save()
        elif kept is None:
            self.made = PREFIX + self._entropy.token(TOKEN_BYTES).hex()
            _write(self._token_path, f"{self.made}\n".encode())
            self._kept = _Kept(digest(self.made))
            self._save()

    @property
    def token_path(self) -> str:
        """Where the token lies, if it was left there."""
        return self._token_path

    def knows(self, token: str) -> bool:
        """Whether that is the token. Takes the same time whatever is wrong with it."""
        return hmac.compare_digest(digest(token), self._kept.token)

    def begin(self, now_s: float) -> str:
        """A new session's secret. Blocks for the time of a write."""
        secret = self._entropy.token(TOKEN_BYTES).hex()
        live = {key: ends for key, ends in self._kept.sessions.items() if ends > now_s}
        while len(live) >= MOST_SESSIONS:
            del live[next(iter(live))]
        live[digest(secret)] = int(now_s) + SESSION_S
        self._kept.sessions = live
        self._save()
        return secret

    def goes_on(self, secret: str, now_s: float) -> bool:
        """Whether a session with that secret lives. It is looked up by hash, so that its time tells nothing."""
        return self._kept.sessions.get(digest(secret), 0) > now_s

    def end(self, secret: str) -> None:
        """End a session. Blocks for the time of a write. Idempotent."""
        if self._kept.sessions.pop(digest(secret), None) is not None:
            self._save()

    def _save(self) -> None:
        _write(self._path, msgspec.json.encode(self._kept))


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except FileNotFoundError:
        return None


def _write(path: str, data: bytes) -> None:
    temporary = f"{path}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(temporary, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


# --- rules -------------------------------------------------------------------------------------------------------------


def host_name(header: str) -> str:
    """The name in a Host header, without its port; "" when it is none."""
    if header.startswith("["):
        name, bracket, rest = header[1:].partition("]")
        return name.lower() if bracket and (not rest or rest[0] == ":") else ""
    name, _, _ = header.partition(":")
    return name.lower().removesuffix(".")


def is_loopback(name: str) -> bool:
    """Whether a host is this machine, and reached from nowhere else."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=64)
def _named(header: bytes) -> tuple[str, bool]:
    """What a Host header names, and whether that is this machine."""
    name = host_name(header.decode("latin-1"))
    return name, is_loopback(name)


def check_host(hosts: list[bytes], known: frozenset[str]) -> None:
    """Refuse names that are not ours: a page elsewhere may have its name lead here (DNS rebinding). Raises Problem."""
    if len(hosts) != 1:
        raise Problem(400, "a request names one host")
    name, loopback = _named(hosts[0])
    if not (name and (loopback or name in known)):
        raise Problem(
            403, f"this server does not answer to the name {name!r}", hint="relevo up --name NAME lets it"
        )


def cookie(header: str, name: str) -> str:
    """The value of a cookie; "" when it is not there."""
    for part in header.split(";"):
        key, equals, value = part.strip().partition("=")
        if equals and key == name:
            return value
    return ""


def from_own_page(request: Request) -> bool:
    """Whether a browser says that our own page asks."""
    site = request.header(b"sec-fetch-site")
    if site:
        return site == "same-origin"
    origin = request.header(b"origin")
    host = request.host[0].decode("latin-1") if request.host else ""
    return bool(host) and origin in (f"http://{host}", f"https://{host}")


def check(request: Request, access: Access, now_s: float) -> None:
    """Who asks may. Raises Problem 401 or 403."""
    authorization = request.header(b"authorization")
    if authorization:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and access.knows(token.strip()):
            return
        raise Problem(
            401,
            "the token is not the one of this server",
            hint="it lies in the file `token` of the RELEVO_HOME of the server",
            headers=(_CHALLENGE,),
        )
    secret = cookie(request.header(b"cookie"), COOKIE)
    if not secret or not access.goes_on(secret, now_s):
        raise Problem(
            401,
            "this needs a token" if not secret else "the session has ended",
            hint="Authorization: Bearer TOKEN; the token lies in the file `token` of the RELEVO_HOME of the server",
            headers=(_CHALLENGE,),
        )
    if request.method not in ("GET", "HEAD") and not from_own_page(request):
        raise Problem(403, "with a cookie, only the server's own page may change something")


def session_cookie(secret: str, *, ends: bool = False) -> tuple[bytes, bytes]:
    """The header that sets or ends it. Not `Secure`: on loopback there is no TLS."""
    age = 0 if ends else SESSION_S
    value = f"{COOKIE}={secret}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict"
    return (b"set-cookie", value.encode())
