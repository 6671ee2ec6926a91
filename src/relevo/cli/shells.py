"""How the shells' completion scripts call relevo: click's, with words quoted where a shell would split them."""

from __future__ import annotations

import re
from shlex import quote
from typing import Any, Final

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
)

_PLAIN: Final = re.compile(r"[\w@%+=:,./-]*", re.ASCII)


class Bash(BashComplete):
    """Bash inserts what it is given as it is: a job's name with spaces and parentheses has to come in quotes."""

    @staticmethod
    def _check_version() -> None:
        """Printing the script asks no program: which bash reads it is not known here."""

    def format_completion(self, item: CompletionItem) -> str:
        if item.type == "plain" and not _PLAIN.fullmatch(item.value):
            item = CompletionItem(quote(item.value), type=item.type)
        return super().format_completion(item)


def script(shell: str, group: Any) -> str:
    """What a shell is to read."""
    classes = {"bash": Bash, "zsh": ZshComplete, "fish": FishComplete}
    return classes[shell](group, {}, "relevo", "_RELEVO_COMPLETE").source()


def register() -> None:
    """Have completions asked for by bash answered by ours."""
    add_completion_class(Bash)
