"""git as a program of its own: started without the caller's GIT_* variables, without prompts, pager, locks or network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from relevo.domain.errors import RelevoError, UserError

#: What git needs of the caller's environment. GIT_* is left out on purpose: a hook that calls relevo has GIT_DIR and
#: GIT_INDEX_FILE set, and they would make git write into the user's repository.
_KEPT = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "USER", "LOGNAME")
_FIXED = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_PAGER": "cat",
}


class GitFailed(RelevoError):
    """git ended with an error; `stderr` is what it said, `code` its exit code."""

    def __init__(self, args: Iterable[str], code: int, stderr: bytes) -> None:
        self.code = code
        self.stderr = stderr.decode("utf-8", "replace").strip()
        super().__init__(f"git {' '.join(args)} ended with {code}: {self.stderr or 'it said nothing'}")


def environment(**extra: str) -> dict[str, str]:
    """The whole environment for a git process; `extra` is added."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **_FIXED, **extra}


def isolated(**extra: str) -> dict[str, str]:
    """As `environment`, and git reads neither the user's nor the system's configuration."""
    return environment(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", **extra)


def run(
    args: Iterable[str | bytes],
    *,
    env: Mapping[str, str],
    cwd: str,
    data: bytes | None = None,
    accepted: tuple[int, ...] = (0,),
) -> bytes:
    """Run git and return what it printed. Blocking. Raises GitFailed, and UserError when there is no git."""
    import subprocess

    argv = ["git", *args]
    try:
        done = subprocess.run(
            argv,
            env=env,
            cwd=cwd,
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        if error.filename != "git":
            raise
        raise no_git() from None
    if done.returncode not in accepted:
        raise GitFailed([os.fsdecode(arg) for arg in argv[1:]], done.returncode, done.stderr)
    return done.stdout


def no_git() -> UserError:
    """What is said when there is no git on PATH."""
    return UserError("git is not installed, or not on PATH", hint="install git (Debian: apt-get install git)")
