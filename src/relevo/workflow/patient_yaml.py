"""PyYAML, imported without compiling the patterns of its Python parser.

The C parser uses none of them, and to compile them takes longer than to read most workflow files: a tenth of the start
of `relevo run`. Each is compiled when somebody uses it after all.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["yaml"]


class _Pattern:
    """Stands for a compiled pattern."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __getattr__(self, name: str) -> Any:
        return getattr(re.compile(*self._arguments), name)


_compile, re.compile = re.compile, _Pattern  # type: ignore[assignment]
try:
    import yaml
finally:
    re.compile = _compile
