"""Randomness, injected: ids, tokens and jitter come from here, so that a seed fixes them in tests."""

from __future__ import annotations

import os
import random
from typing import Protocol


class Entropy(Protocol):
    """A source of randomness."""

    def token(self, size_bytes: int) -> bytes:
        """Unpredictable bytes."""

    def uniform(self) -> float:
        """A float in [0, 1): for jitter and sampling, never for secrets."""


class SystemEntropy:
    """The kernel's randomness."""

    def token(self, size_bytes: int) -> bytes:
        return os.urandom(size_bytes)

    def uniform(self) -> float:
        return random.random()


class SeededEntropy:
    """The same sequence for the same seed. Tests and simulation only."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def token(self, size_bytes: int) -> bytes:
        return self._random.randbytes(size_bytes)

    def uniform(self) -> float:
        return self._random.random()
