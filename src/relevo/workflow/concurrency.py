"""What `concurrency:` comes to, and which groups can never be had because whoever asks for them is within who has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from relevo.workflow import templates
from relevo.workflow.calls import called_by, place_of
from relevo.workflow.diagnostics import Diagnostic
from relevo.workflow.expressions import ExpressionError, Scope, Value, compile, to_text
from relevo.workflow.model import Concurrency, JobNode, Workflow
from relevo.workflow.names import concurrency_group

#: What has the same value in a file and in all that it calls.
_EVERYWHERE: Final = frozenset({"github", "vars"})
_IN_A_FILE: Final = _EVERYWHERE | {"inputs"}


class ConcurrencyWrong(Exception):
    """A value that `concurrency:` cannot have."""


def evaluate(value: Value, scope: Scope) -> Concurrency:
    """What a `concurrency:` that is not None comes to. Raises ConcurrencyWrong and ExpressionError."""
    found = templates.evaluate(value, scope)
    asked: dict[str, Value] = found if isinstance(found, dict) else {"group": found}
    group = asked.get("group")
    if isinstance(group, dict | list):
        raise ConcurrencyWrong("the name of a concurrency group must be a text")
    name = to_text(group)
    if not name.strip():
        raise ConcurrencyWrong("the name of the concurrency group is empty")
    if said := concurrency_group(name):
        raise ConcurrencyWrong(said)
    cancel = asked.get("cancel-in-progress")
    if cancel in (None, ""):
        cancel = False
    elif cancel in ("true", "false"):
        cancel = cancel == "true"
    if not isinstance(cancel, bool):
        raise ConcurrencyWrong(f"cancel-in-progress must be true or false, not '{to_text(cancel)[:60]}'")
    queues = asked.get("queue") == "max"
    if queues and cancel:
        raise ConcurrencyWrong("`queue: max` and `cancel-in-progress: true` exclude each other")
    return Concurrency(name, cancel, queues)


# --- deadlocks that are seen before anything runs -----------------------------------------------------------------


class _Held(NamedTuple):
    """A group that is held by what surrounds a job."""

    pieces: tuple[tuple[str, bool], ...]  #: its name, cut into texts and expressions
    contexts: frozenset[str]
    who: str
    file: Workflow


def deadlocks(workflow: Workflow) -> Iterator[Diagnostic]:
    """Jobs that ask for a group which their workflow, or a job that calls it, has until they have ended.

    Only what is certain: names of the same text, whose expressions have the same value in both places.
    """
    yield from _in_file(workflow, (), ())


def _in_file(workflow: Workflow, around: tuple[_Held, ...], places: tuple[str, ...]) -> Iterator[Diagnostic]:
    own = _held(workflow.concurrency, workflow, "the workflow")
    if own is not None:
        yield from _compared(own, around, workflow, "concurrency", "the called workflow", places)
        around = (*around, own)
    for job in workflow.jobs.values():
        name = f"job '{job.id}'"
        asked = _held(job.concurrency, workflow, name)
        if asked is not None:
            yield from _compared(asked, around, workflow, f"jobs.{job.id}.concurrency", name, places)
        if job.called is not None:
            within = (*around, asked) if asked is not None else around
            yield from _in_file(job.called, within, (*places, place_of(job, workflow)))


def _held(value: Value, file: Workflow, who: str) -> _Held | None:
    group = value.get("group") if isinstance(value, dict) else value
    if group is None:
        return None
    try:
        pieces = tuple(
            (piece.lower(), False)
            if isinstance(piece, str)
            else ("".join(piece.source.lower().split()), True)
            for piece in templates.pieces(to_text(group))
        )
        sources = [piece.source for piece in templates.pieces(to_text(group)) if not isinstance(piece, str)]
        contexts = frozenset(name for source in sources for name, _ in compile(source).names())
    except ExpressionError:
        return None
    return _Held(pieces, contexts, who, file)


def _compared(
    asked: _Held, around: tuple[_Held, ...], file: Workflow, mark: str, who: str, places: tuple[str, ...]
) -> Iterator[Diagnostic]:
    for held in around:
        same = _IN_A_FILE if held.file is file and held.who == "the workflow" else _EVERYWHERE
        if held.pieces == asked.pieces and asked.contexts <= same:
            position = file.marks.get(mark)
            line, column = (position.line, position.column) if position else (1, 1)
            yield Diagnostic(
                file.path,
                line,
                column,
                f"a deadlock: {who} asks for the concurrency group that {held.who} of {held.file.path} has until it has "
                f"ended{called_by(places)}",
                "give it a group of another name, or leave one of the two out",
                excerpt=file.marked_lines.get(line, ""),
            )
            return


def asked_by(node: JobNode) -> list[tuple[Value, bool]]:
    """The groups that a job asks for, in order, and whether they are those of the file that it calls."""
    found = [] if node.concurrency is None else [(node.concurrency, False)]
    if node.called is not None and node.called.concurrency is not None:
        found.append((node.called.concurrency, True))
    return found
