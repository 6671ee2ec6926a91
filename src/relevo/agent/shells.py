"""How a script is handed to its shell, as GitHub does it.

A shell is a built-in name or a command line with `{0}` where the script's path goes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import Struct

from relevo.domain.errors import RelevoError


class ShellInvalid(RelevoError):
    """A `shell:` that is neither built in nor holds `{0}`."""


class Shell(Struct, frozen=True):
    """A way to run a script."""

    argv: tuple[str, ...]  #: with `{0}` where the script's path goes
    extension: str = ".sh"
    before: str = ""  #: put before the script
    after: str = ""  #: and behind it

    def script(self, text: str) -> str:
        """The text of the script's file."""
        text = text.replace("\r\n", "\n")
        if self.before or self.after:
            return f"{self.before}\n{text}\n{self.after}"
        return text

    def command(self, path: str) -> list[str]:
        """The argument vector for a script at a path."""
        return [part.replace("{0}", path) if "{0}" in part else part for part in self.argv]


_BUILT_IN: Final = {
    "bash": Shell(("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "{0}")),
    "sh": Shell(("sh", "-e", "{0}")),
    "python": Shell(("python", "{0}"), ".py"),
    "pwsh": Shell(
        ("pwsh", "-command", ". '{0}'"),
        ".ps1",
        "$ErrorActionPreference = 'stop'",
        "if ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }",
    ),
}
_UNSPECIFIED: Final = (Shell(("bash", "-e", "{0}")), _BUILT_IN["sh"])
_ONLY_WINDOWS: Final = frozenset({"cmd", "powershell"})


@lru_cache(maxsize=256)
def shells(shell: str | None) -> tuple[Shell, ...]:
    """The ways to run a script with `shell:` as given; the first whose program is there counts.

    Without a `shell:` that is bash, or sh where there is no bash. A machine without `python` may have `python3`.
    Raises ShellInvalid.
    """
    if not shell or not shell.strip():
        return _UNSPECIFIED
    name = shell.strip()
    built_in = _BUILT_IN.get(name.lower())
    if built_in is not None:
        if name.lower() == "python":
            return built_in, Shell(("python3", "{0}"), ".py")
        return (built_in,)
    if name.lower() in _ONLY_WINDOWS:
        raise ShellInvalid(f"shell '{name}' is there on Windows only. Use bash, sh, python or pwsh")
    if "{0}" not in name:
        raise ShellInvalid(
            f"Invalid shell option '{name}'. Shell must be a valid built-in (bash, sh, python, pwsh)"
            " or a format string containing '{0}'"
        )
    import shlex

    try:
        argv = shlex.split(name)
    except ValueError as error:
        raise ShellInvalid(f"Invalid shell option '{name}': {error}") from None
    return (Shell(tuple(argv), ""),)
