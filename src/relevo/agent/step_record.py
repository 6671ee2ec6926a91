"""What a step says beside its log: outputs, state, annotations, masks; by log commands, by command files, or as an action."""

from __future__ import annotations

from typing import Final

from relevo.agent.log_commands import NAMES, LogCommand
from relevo.agent.masks import Masks
from relevo.agent.output import OutputScanner
from relevo.agent.reporter import Reporter

#: Of each level, for each step, as on GitHub; further ones are in the log only.
ANNOTATIONS_LIMIT: Final = 10
_MESSAGE_LIMIT: Final = 4_096

_ANNOTATIONS: Final = frozenset({"error", "warning", "notice"})
_DISABLED: Final = {"set-env": "GITHUB_ENV", "add-path": "GITHUB_PATH"}
_DEPRECATED: Final = {"set-output": "GITHUB_OUTPUT", "save-state": "GITHUB_STATE"}


class StepRecord:
    """One for each step that runs."""

    __slots__ = (
        "_counts",
        "_masks",
        "_reporter",
        "_step",
        "_warned",
        "closed",
        "outputs",
        "problem",
        "state",
    )

    def __init__(self, step: int, reporter: Reporter, masks: Masks) -> None:
        self.outputs: dict[str, str] = {}
        self.state: dict[str, str] = {}
        self.problem = ""  #: the first thing it said that cannot be taken: the step fails with it
        self.closed = (
            False  #: it has ended: what its background children say is no longer heeded, but for masks
        )
        self._step = step
        self._reporter = reporter
        self._masks = masks
        self._counts: dict[str, int] = {}
        self._warned: set[str] = set()

    def within(self) -> StepRecord:
        """The record of a step that is part of this one: what it says is its own, annotations count for both."""
        record = StepRecord(self._step, self._reporter, self._masks)
        record._counts, record._warned = self._counts, self._warned
        return record

    def command(self, scanner: OutputScanner, command: LogCommand) -> None:
        """A command that was found in the step's output."""
        name = command.name
        if name == "add-mask":
            self._mask(command)
        elif name in _ANNOTATIONS:
            properties = command.properties
            self.annotate(
                name,
                command.data,
                title=properties.get("title", ""),
                file=properties.get("file", ""),
                line=_number(properties.get("line", "")),
                column=_number(properties.get("col", "")),
            )
        elif name in _DEPRECATED:
            self._set(command)
        elif name in _DISABLED:
            self.fail(
                f"The `{name}` command is disabled. Please upgrade to using Environment Files ({_DISABLED[name]})."
            )
        elif name == "stop-commands":
            self._stop(scanner, command.data)
        elif name == "echo" and command.data.strip().lower() not in ("on", "off"):
            self.fail(
                "Invalid echo command value. Possible values can be: 'on', 'off'."
                f" Current value is: '{command.data}'."
            )

    def annotate(
        self, level: str, message: str, *, title: str = "", file: str = "", line: int = 0, column: int = 0
    ) -> None:
        """An error, warning or notice."""
        count = self._counts.get(level, 0)
        if count >= ANNOTATIONS_LIMIT:
            return
        self._counts[level] = count + 1
        hide = self._masks.hide
        self._reporter.annotation(
            self._step,
            level,
            hide(message)[:_MESSAGE_LIMIT],
            title=hide(title)[:_MESSAGE_LIMIT],
            file=hide(file)[:_MESSAGE_LIMIT],
            line=line,
            column=column,
        )

    def fail(self, message: str) -> None:
        """Something it said cannot be taken: an error is shown, and the step fails."""
        self.annotate("error", message)
        self.problem = self.problem or message

    def _mask(self, command: LogCommand) -> None:
        if not command.data.strip():
            self.annotate("warning", "Can't add secret mask for empty string in ##[add-mask] command.")
            return
        self._masks.add(command.data)
        # the line itself is about to be written, and holds the secret in its escaped form
        self._masks.add(command.raw)

    def _set(self, command: LogCommand) -> None:
        name = command.properties.get("name", "")
        if not name:
            self.fail(f"Required field 'name' is missing in ##[{command.name}] command.")
            return
        into = self.outputs if command.name == "set-output" else self.state
        into[name] = command.data
        if command.name not in self._warned:
            self._warned.add(command.name)
            self.annotate(
                "warning",
                f"The `{command.name}` command is deprecated. Please upgrade to using Environment Files"
                f" ({_DEPRECATED[command.name]}).",
            )

    def _stop(self, scanner: OutputScanner, token: str) -> None:
        if not token.strip() or token.strip().lower() in NAMES or token.strip().lower() == "pause-logging":
            self.fail(
                f"Invoked ::stop-commands:: with token: [{token}]. Choose a text that is no command and hard to guess."
            )
            return
        scanner.resume_token = token.strip()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
