"""Turns titles into parts of web addresses."""

from __future__ import annotations

import re
import unicodedata

_GAPS = re.compile(r"[^a-z0-9]+")


def slug(title: str, *, limit: int = 60) -> str:
    """A title in lower case, its words joined by hyphens, at most `limit` characters long."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    joined = _GAPS.sub("-", plain.lower()).strip("-")
    return joined[:limit].rstrip("-")
