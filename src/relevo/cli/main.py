"""relevo: the commands, and what becomes of their errors."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

#: What is missing here is not there. Each command's module has its `command`; the words stand here so that `relevo --help`
#: need not load them.
SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Run": {
        "run": "Run a workflow and show it live.",
        "resume": "Go on with a run that was left, or show the summary that nobody saw.",
        "cancel": "Cancel a run.",
        "retry": "Run a finished run again, or a held job.",
        "fail": "Decide that a held job has failed.",
        "up": "Serve the HTTP API and the page, as the engine that stays.",
        "drain": "Have an agent take nothing new.",
        "undrain": "Have an agent take jobs again.",
    },
    "Look": {
        "runs": "List runs, newest first.",
        "show": "Show how a run went, or goes.",
        "why": "Tell what the jobs of a run wait for.",
        "logs": "Show what the steps of a job wrote.",
        "trace": "Show where the time of a run went, in Perfetto.",
        "actors": "Show the living engine from inside.",
        "metrics": "Print what the living engine counts.",
    },
    "Before running": {
        "init": "Write a first workflow, from what the repository holds.",
        "check": "Check workflow files without running them.",
        "plan": "Show which jobs a workflow has, and in which order they run.",
        "simulate": "Try a load on other machines or by other policies.",
        "schema": "Print the JSON Schema of workflow files, for editors.",
    },
    "Care": {
        "doctor": "Tell what this machine can do, what not, and what to do about it.",
        "prune": "Remove old runs, and give their room back.",
        "db": "Verify what is stored.",
        "version": "Tell the version of relevo and of what it runs on.",
        "login": "Keep the token for a server.",
        "logout": "Forget the token for a server.",
        "completion": "Print the shell's completion script.",
    },
}


def main() -> NoReturn:
    """The console script `relevo`. Leaves with one of the codes in exits.py."""
    if sys.platform != "linux":
        sys.stderr.write(
            f"relevo: only Linux is supported, and this is {sys.platform}. "
            "Use a Linux machine, container or virtual machine.\n"
        )
        sys.exit(2)
    import gc
    import os

    gc.disable()  # what is imported stays; relevo.runtime.loop turns it on again
    _open_standard_streams()
    from relevo.cli.errors import guarded

    for stream in (sys.stdout, sys.stderr):
        # Lines as they come, whatever reads them; and a name that the locale cannot write is no error.
        stream.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]
    code = guarded(_run)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is closed: taking 400 modules down again would only cost time


def _open_standard_streams() -> None:
    """Where one of the three was closed by whoever called: else the next file that is opened, such as the database, would take
    its place, and what is printed would go there."""
    import os

    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def _run() -> int:
    import os

    from relevo.cli.group import group

    if "_RELEVO_COMPLETE" in os.environ:
        from relevo.cli.shells import register

        register()
    code = group().main(prog_name="relevo", standalone_mode=False)
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
