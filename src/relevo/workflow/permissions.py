"""What `permissions:` grants, and whether a called workflow asks for more than its caller has."""

from __future__ import annotations

from typing import Final

from relevo.workflow.language import PERMISSION_SCOPES
from relevo.workflow.model import Value

_RANK: Final = {"none": 0, "read": 1, "write": 2}
_ALL: Final = {"read-all": "read", "write-all": "write"}


def level(permissions: Value, scope: str) -> str:
    """What `permissions:` says of a scope; None, nothing said, is "write": whoever asks for nothing has all."""
    if permissions is None:
        return "write"
    if isinstance(permissions, str):
        return _ALL.get(permissions, "none")
    found = permissions.get(scope)
    return found if found in _RANK else "none"


def excess(asked: Value, granted: Value) -> list[tuple[str, str, str]]:
    """Scopes of which more is asked for than was granted: (scope, asked, granted). None asks for nothing."""
    if asked is None:
        return []
    found = []
    for scope in PERMISSION_SCOPES:
        wanted, there = level(asked, scope), level(granted, scope)
        if _RANK[wanted] > _RANK[there]:
            found.append((scope, wanted, there))
    return found
