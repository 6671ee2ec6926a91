"""What the actions share in reading their inputs: nothing given is ever passed over in silence."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from relevo.agent.actions.contract import ActionContext, ActionFailed


def warn_unknown(ctx: ActionContext, known: Collection[str]) -> None:
    """Warn of inputs that the action does not have, as GitHub does."""
    unknown = sorted(set(ctx.inputs) - set(known))
    if unknown:
        ctx.warn(f"Unexpected input(s) {_listed(unknown)}, valid inputs are {_listed(sorted(known))}")


def refuse(ctx: ActionContext, reasons: Mapping[str, str]) -> None:
    """Fail for inputs that ask for something that cannot be done here: name → why, and what to do instead."""
    for name, reason in reasons.items():
        if ctx.input(name):
            raise ActionFailed(f"{name}: {reason}")


def inside(workspace: str, path: str, name: str) -> str:
    """The absolute path that an input means. Raises ActionFailed when it leads out of the workspace."""
    root = os.path.realpath(workspace)
    target = os.path.realpath(os.path.join(root, path))
    if target != root and not target.startswith(root + os.sep):
        raise ActionFailed(f"{name}: {path} lies outside of the workspace; give a path relative to it")
    return target


def choice(value: str, name: str, allowed: Collection[str]) -> str:
    """One of some words. Raises ActionFailed naming them."""
    if value not in allowed:
        raise ActionFailed(f"{name}: {value!r} is none of {', '.join(sorted(allowed))}")
    return value


def number(value: str, name: str, lowest: int, highest: int) -> int:
    """A whole number within bounds. Raises ActionFailed."""
    try:
        parsed = int(value)
    except ValueError:
        parsed = lowest - 1
    if not lowest <= parsed <= highest:
        raise ActionFailed(f"{name}: {value!r} is no whole number from {lowest} to {highest}")
    return parsed


def _listed(names: Collection[str]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in names) + "]"
