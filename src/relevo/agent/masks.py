"""What must not show in anything that leaves the agent. Masks last for the attempt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relevo.logs.masking import Masker


class Masks:
    """The secrets of an attempt and what steps masked since. Without any it costs nothing."""

    __slots__ = ("_secrets", "_stream")

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = [secret for secret in secrets if secret]
        self._stream: Masker | None = _masker(self._secrets) if self._secrets else None

    def add(self, secret: str) -> None:
        """Hide a text from here on."""
        if not secret or secret in self._secrets:
            return
        self._secrets.append(secret)
        if self._stream is None:
            self._stream = _masker(self._secrets)
        else:
            self._stream.add(secret)

    def feed(self, data: bytes) -> bytes:
        """The next bytes of the log, masked; what may be the beginning of a secret is held back."""
        return data if self._stream is None else self._stream.feed(data)

    def flush(self) -> bytes:
        """What is held back."""
        return b"" if self._stream is None else self._stream.flush()

    def found_in(self, text: str) -> bool:
        """Whether a secret stands in a text."""
        return self._stream is not None and self._stream.contains(text)

    def hide(self, text: str) -> str:
        """A text with `***` in place of its secrets."""
        return text if self._stream is None else self._stream.mask(text)


def _masker(secrets: list[str]) -> Masker:
    from relevo.logs.masking import Masker

    return Masker(secrets)
