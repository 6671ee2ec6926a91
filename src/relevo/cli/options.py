"""Options that several commands share, and how `K=V` is read."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def offered(what: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """For `shell_complete=`: what a shell offers behind Tab, of those that completing.py knows."""

    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[Any]:
        from relevo.cli.completing import offers

        return offers(what, context, typed)

    return complete


def display(function: F) -> F:
    """--plain, --json, --quiet: how a run is shown."""
    quiet = click.option("--quiet", "-q", is_flag=True, help="Only what fails, and the result.")
    as_json = click.option("--json", "as_json", is_flag=True, help="One event a line, for programs.")
    plain = click.option("--plain", is_flag=True, help="Lines only, also on a terminal.")
    return plain(as_json(quiet(function)))


def style(*, plain: bool, as_json: bool, quiet: bool) -> str:
    """The one style that was asked for, "" for none. Raises UsageError for several."""
    asked = [name for name, on in (("plain", plain), ("json", as_json), ("quiet", quiet)) if on]
    if len(asked) > 1:
        raise click.UsageError(f"--{asked[0]} and --{asked[1]} exclude each other: give one of them")
    return asked[0] if asked else ""


def pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """`K=V` … as a map; the last of a key counts. Raises UsageError for text without `=`."""
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{option} {text!r} has no value: write {option} {key or 'NAME'}=VALUE")
        found[key] = value
    return found


def secrets(given: Iterable[str]) -> dict[str, str]:
    """`NAME[=VALUE]` … as a map: without a value from the environment, else asked for. Raises UsageError."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name.replace("_", "a").isalnum() or name[0].isdigit():
            raise click.UsageError(
                f"--secret {name!r}: a secret's name has only letters, digits and underscores, and begins with no digit"
            )
        found[name] = value if equals else _secret(name)
    return found


_COMMENT: Final = re.compile(rb"^[ \t]*#.*$", re.MULTILINE)
_EXPRESSION: Final = re.compile(rb"\$\{\{(.*?)\}\}", re.DOTALL)
_SECRET: Final = re.compile(rb"\bsecrets\.([A-Za-z_]\w*)")


def missing_secrets(workflow: bytes, given: Iterable[str]) -> list[str]:
    """The secrets that a workflow's text names and that were not given: they are empty, as on GitHub."""
    known = {"GITHUB_TOKEN", *(name.upper() for name in given)}
    expressions = _EXPRESSION.findall(_COMMENT.sub(b"", workflow))
    named = dict.fromkeys(name.decode().upper() for text in expressions for name in _SECRET.findall(text))
    return [name for name in named if name not in known]


def _secret(name: str) -> str:
    value = os.environ.get(name)
    if value is not None:
        return value
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"secret {name} is not in the environment, and there is no terminal to ask on: "
            f"set the variable {name}, or write --secret {name}=VALUE"
        )
    return str(click.prompt(name, hide_input=True, err=True))


def seconds(option: str, text: str, *, above: float = -1.0) -> float:
    """A time, `90`, `10m` or `7d`, in seconds. Raises UsageError; also for one that is not `above` that."""
    from relevo.workflow import quantities

    try:
        found = quantities.seconds(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None
    if found <= above:
        raise click.UsageError(f"{option} {text}: it must be more than {above:g}")
    return found
