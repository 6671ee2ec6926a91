"""Secrets of runs, sealed: one row for each run, under a key that lies in the home, readable by its owner alone.

AES-256-GCM with a fresh nonce for each row; the run's id is authenticated with it, so that a row cannot be moved to another run.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from relevo.domain.errors import UserError

NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32


class Vault:
    """Seals and opens. The key file is made when it is needed first."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _key(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                key = file.read()
        except FileNotFoundError:
            key = os.urandom(KEY_BYTES)
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(fd)
        if len(key) != KEY_BYTES:
            raise UserError(
                f"{self._path} is no key of {KEY_BYTES} bytes",
                hint="secrets sealed with the right one are lost; remove it to have a new one made",
            )
        return key

    def seal(self, run: str, secrets: dict[str, str]) -> bytes:
        """The secrets of a run as one opaque blob."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self._key()).encrypt(nonce, msgspec.msgpack.encode(secrets), run.encode())

    def open(self, run: str, sealed: bytes) -> bytes:
        """Back to msgpack of a map. Raises UserError when key and row do not belong together."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._key()).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], run.encode())
        except InvalidTag:
            raise UserError(
                f"the secrets of run {run} cannot be opened with {self._path}",
                hint="was the key replaced? relevo retry asks for them again",
            ) from None
