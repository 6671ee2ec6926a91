"""Rules for names and references: each says what is wrong with a text, or None."""

from __future__ import annotations

import re
from typing import Final

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_LONGEST: Final = 99
_LOCAL_WORKFLOW: Final = re.compile(r"\./[^\0]+\.ya?ml\Z")
_REMOTE_WORKFLOW: Final = re.compile(r"[^/@\s]+/[^/@\s]+/[^@\s]+\.ya?ml@[^\s]+\Z")


def identifier(text: str) -> str | None:
    """Ids of jobs, steps, inputs, outputs."""
    if _IDENTIFIER.match(text) and len(text) <= _LONGEST:
        return None
    return (
        f"'{text}' is no valid id: it must begin with a letter or _, hold only letters, digits, - and _, "
        f"and be shorter than {_LONGEST + 1} characters"
    )


def step_id(text: str) -> str | None:
    """Ids of steps; those that begin with two underscores are the engine's own."""
    if text.startswith("__"):
        return f"'{text}' is no valid id: ids that begin with __ are reserved"
    return identifier(text)


def action(text: str) -> str | None:
    """`uses:` of a step."""
    if text.startswith(("docker://", "./", ".\\")):
        return None
    place, at, ref = text.partition("@")
    owner, _, rest = place.replace("\\", "/").partition("/")
    if at and ref and "@" not in ref and owner and rest.split("/")[0]:
        return None
    return f"'{text}' is no action: write owner/repository@ref, ./path or docker://image"


def reusable_workflow(text: str) -> str | None:
    """`uses:` of a job."""
    if _LOCAL_WORKFLOW.match(text) or _REMOTE_WORKFLOW.match(text):
        return None
    return (
        f"'{text}' is no reusable workflow: write ./.github/workflows/name.yml "
        "or owner/repository/.github/workflows/name.yml@ref"
    )
