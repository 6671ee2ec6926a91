"""Which server is meant, and the token for it: RELEVO_SERVER, RELEVO_TOKEN, or what `relevo login` keeps.

Tokens lie in `relevo/tokens.json` under XDG_CONFIG_HOME, by server, for their owner alone (0600).
"""

from __future__ import annotations

import ipaddress
import json
import os
from typing import Final
from urllib.parse import urlsplit

from relevo.domain.errors import UserError

#: Where `relevo up` listens if nobody says otherwise.
DEFAULT: Final = "http://127.0.0.1:7878"


def normal(url: str) -> str:
    """The address of a server in the one form that tokens are kept by. Raises UserError for what is none."""
    hint = f"write it like {DEFAULT} or https://ci.example.org"
    try:
        parts = urlsplit(url.strip() if "://" in url else f"http://{url.strip()}")
        port = parts.port
    except ValueError as error:
        raise UserError(f"{url!r} is no address of a server: {error}", hint=hint) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UserError(f"{url!r} is no address of a server", hint=hint)
    if parts.username is not None or parts.password is not None:
        raise UserError(
            "the address of a server holds no user and no password",
            hint="the token comes from RELEVO_TOKEN, or from `relevo login`",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    shown = f":{port}" if port is not None and port != usual else ""
    return f"{parts.scheme}://{host}{shown}{parts.path.rstrip('/')}"


def is_loopback(url: str) -> bool:
    """Whether a server is reached without a network."""
    name = urlsplit(url).hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def token_for(url: str) -> str | None:
    """The token for a server; None when there is none. Raises UserError when it cannot be used."""
    given = os.environ.get("RELEVO_TOKEN", "")
    return checked(given, "RELEVO_TOKEN") if given.strip() else _read().get(url)


def checked(token: str, where: str) -> str:
    """A token as it goes into a header. Raises UserError."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(f"{where} holds no token", hint="a token is one word, as `relevo up` printed it")
    return token


def keep(url: str, token: str) -> str:
    """Keep the token for a server; returns the file. Raises UserError when that cannot be."""
    return _write({**_read(), url: token})


def forget(url: str) -> bool:
    """Forget the token for a server; whether there was one."""
    known = _read()
    if known.pop(url, None) is None:
        return False
    _write(known)
    return True


def known() -> list[str]:
    """The servers that there is a token for."""
    return sorted(_read())


def path() -> str:
    """The file of tokens."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(folder, "relevo", "tokens.json")


def _read() -> dict[str, str]:
    where = path()
    try:
        with open(where, "rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise UserError(
                    f"{where} can be read by others", hint=f"chmod 600 {where}; and think of new tokens"
                )
            found = json.loads(file.read(1 << 20) or b"{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(
            f"{where} cannot be read: {error}", hint="remove it, and `relevo login` again"
        ) from None
    return (
        {url: token for url, token in found.items() if isinstance(token, str)}
        if isinstance(found, dict)
        else {}
    )


def _write(tokens: dict[str, str]) -> str:
    where = path()
    temporary = f"{where}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(where), mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(temporary, flags, 0o600), "w", encoding="ascii") as file:
            json.dump(tokens, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, where)
    except OSError as error:
        raise UserError(
            f"{where} cannot be written: {error.strerror}", hint="RELEVO_TOKEN works without it"
        ) from None
    return where
