"""RELEVO_HOME: where an engine keeps what it must not lose, and where it answers.

relevo.db            events, read models, facts (SQLite)
logs/<run>/          log segments
blobs/               snapshots and artifacts by content
agents/local/        spool, workspaces and caches of this machine's agent
engine.log           what engines had to say, bounded
traced               up to which sequence the traces of ended runs were sent
key                  seals the secrets of runs; 0600
"""

from __future__ import annotations

import os
from typing import Final

from relevo.domain.errors import UserError

#: A Unix socket's address ends at 108 bytes.
SOCKET_LIMIT: Final = 100
AGENT: Final = "local"


class Home:
    """A RELEVO_HOME. Nothing is made before `make`."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)

    @property
    def database(self) -> str:
        return f"{self.path}/relevo.db"

    @property
    def logs(self) -> str:
        return f"{self.path}/logs"

    @property
    def blobs(self) -> str:
        return f"{self.path}/blobs"

    @property
    def key(self) -> str:
        return f"{self.path}/key"

    @property
    def agent(self) -> str:
        return f"{self.path}/agents/{AGENT}"

    @property
    def caches(self) -> str:
        """What jobs on this machine cached."""
        return f"{self.agent}/caches"

    @property
    def pruned(self) -> str:
        """A file whose time says when old runs were removed last."""
        return f"{self.path}/pruned"

    @property
    def engine_log(self) -> str:
        """What engines had to say; the one before it is `engine.log.1`."""
        return f"{self.path}/engine.log"

    @property
    def agent_log(self) -> str:
        """The same of this machine's agent."""
        return f"{self.agent}/agent.log"

    @property
    def traced(self) -> str:
        """A file with the sequence up to which the traces of ended runs were sent."""
        return f"{self.path}/traced"

    @property
    def exists(self) -> bool:
        """Whether an engine has ever used it."""
        return os.path.exists(self.database)

    def make(self) -> None:
        """Make the folder (0700). Raises UserError when that cannot be."""
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be made: {error.strerror}",
                hint="set RELEVO_HOME to a folder that you may write",
            ) from None
        ignore = f"{self.path}/.gitignore"
        if not os.path.exists(ignore) and os.access(self.path, os.W_OK | os.X_OK):
            # A home inside a working tree is no part of it: no snapshot takes itself in.
            with open(ignore, "w", encoding="ascii") as file:
                file.write("*\n")
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise UserError(
                f"{self.path} is read-only for you",
                hint="set RELEVO_HOME to a folder that you may write",
            )

    @property
    def socket(self) -> str:
        """Where the engine of this home answers. The name is a hash of the home: addresses are short."""
        from hashlib import blake2s

        name = blake2s(os.fsencode(os.path.realpath(self.path)), digest_size=8).hexdigest()
        folder = os.environ.get("XDG_RUNTIME_DIR", "")
        if folder and len(folder) < SOCKET_LIMIT - 40 and os.access(folder, os.W_OK):
            return f"{folder}/relevo/{name}.sock"
        return f"/tmp/relevo-{os.getuid()}/{name}.sock"  # noqa: S108  # the folder is ours alone: see make_socket_folder

    def make_socket_folder(self) -> None:
        """Make the socket's folder, ours alone. Raises UserError when somebody else made it."""
        folder = os.path.dirname(self.socket)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        found = os.lstat(folder)
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise UserError(
                f"{folder} is open to others",
                hint="remove it, or set XDG_RUNTIME_DIR to a folder of your own",
            )


def default_home() -> str:
    """RELEVO_HOME, else `relevo` in the XDG state folder."""
    home = os.environ.get("RELEVO_HOME")
    if home:
        return home
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return f"{state}/relevo"
