"""Errors become a message and an exit code. A traceback is for us: it goes to a file, or to RELEVO_DEBUG=1."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from relevo.cli import exits


class PipeClosed(Exception):
    """Whoever read our output has seen enough."""


def guarded(command: Callable[[], int]) -> int:
    """Run a command; whatever it raises is told in one message. Returns the exit code."""
    try:
        code = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return exits.CANCELLED
    except ModuleNotFoundError as error:
        # Without this what tells of errors could not be loaded, either.
        sys.stderr.write(
            f"relevo: its installation is incomplete: {error.name} is missing\n"
            "  install it again: pip install --force-reinstall relevo\n"
        )
        return exits.INFRASTRUCTURE
    except Exception as error:
        if os.environ.get("RELEVO_DEBUG") == "1":
            import traceback

            traceback.print_exc()
        code = tell(error)
    return code


def _pipe_closed() -> int:
    """What is still buffered must not fail again when Python ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return exits.CLOSED_PIPE


def tell(error: Exception) -> int:
    """Say what went wrong, on stderr; returns the exit code."""
    import click

    from relevo.domain.errors import DamagedError, InfrastructureError, UserError
    from relevo.runtime.disk import lacks_room
    from relevo.store.contract import NewerHome

    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    match error:
        case BrokenPipeError() | PipeClosed():
            return _pipe_closed()
        case click.exceptions.Exit():
            return error.exit_code
        case click.Abort():
            _say("relevo: interrupted")
            return exits.CANCELLED
        case click.UsageError():
            error.show()
            return exits.BAD_INPUT
        case click.ClickException():
            _say(f"relevo: {error.format_message()}")
            return exits.BAD_INPUT
        case UserError():
            _say(f"relevo: {error}", error.hint)
            return exits.BAD_INPUT
        case InfrastructureError():
            _say(f"relevo: {error}", "what was accepted is kept: `relevo resume` goes on with it")
            return exits.INFRASTRUCTURE
        case DamagedError():
            _say(
                f"relevo: damaged: {error}",
                "`relevo db check` names all damage; other runs are not touched by it",
            )
            return exits.INFRASTRUCTURE
        case NewerHome():
            _say(f"relevo: {error}", "use the newer relevo, or another RELEVO_HOME")
            return exits.BAD_INPUT
        case OSError() if lacks_room(error):
            where = f" for {error.filename}" if error.filename else ""
            _say(f"relevo: no room{where}: make some, and try again", "nothing that was accepted is lost")
            return exits.INFRASTRUCTURE
        case _:
            where = _keep_details(error)
            _say(f"relevo: unexpected {type(error).__name__}: {_short(error)} (details: {where})")
            return exits.INFRASTRUCTURE


def _say(message: str, hint: str | None = None) -> None:
    from relevo.cli.output import note

    note(message)
    if hint and hint not in message:
        note(f"  {hint}")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:299]}…"


def _keep_details(error: Exception) -> str:
    """Write what we need to find the mistake; returns where."""
    import platform
    import tempfile
    import time
    import traceback

    from relevo import __version__

    report = "".join(
        [
            f"relevo {__version__}, Python {platform.python_version()}, {platform.platform()}\n",
            f"command: {sys.argv[1] if len(sys.argv) > 1 else ''}\n",  # not more: arguments may hold secrets
            *traceback.format_exception(error),
        ]
    )
    name = f"crash-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.txt"
    for folder in (_crashes(), tempfile.gettempdir()):
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            path = os.path.join(folder, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(report)
        except OSError:
            continue
        return path
    return "could not be written; RELEVO_DEBUG=1 shows them"


def _crashes() -> str:
    from relevo.cli.connect import home

    return os.path.join(home(), "crashes")
