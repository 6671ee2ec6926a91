"""What a shell offers behind Tab: workflow files, runs, jobs. Nothing is started or changed, and no mistake is told."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from relevo.cli.text import one_line

if TYPE_CHECKING:
    from relevo.orchestrator.api import UserApi
    from relevo.orchestrator.progress import Progress
    from relevo.store.contract import RunRow

T = TypeVar("T")

#: Runs that are offered.
RUNS: Final = 30


def offers(what: str, context: click.Context, typed: str) -> list[CompletionItem]:
    """What begins with what was typed, of what is named in OFFERS. Nothing where it cannot be told: behind a prompt there is no place
    for a message."""
    try:
        items = list(OFFERS[what](context, typed))
    except Exception:
        return []
    return [
        CompletionItem(item.value, type=item.type, help=one_line(item.help or "") or None)
        for item in items
        if item.value.startswith(typed) and item.value == one_line(item.value)
    ]


def _workflows(_: click.Context, typed: str) -> Iterable[CompletionItem]:
    from relevo.cli.workflows import candidates, root

    directory = root(".")
    known = candidates(directory)
    names = [os.path.basename(path) for path in known]
    if typed and not any(name.startswith(typed) for name in names):
        return [CompletionItem(typed, type="file")]
    return [CompletionItem(name, help=path) for name, path in zip(names, known, strict=True)]


def _runs(_: click.Context, typed: str) -> Iterable[CompletionItem]:
    async def listed(api: UserApi) -> list[RunRow]:
        return await api.runs(limit=RUNS)

    offered = [CompletionItem("latest", help="the latest run")]
    offered += [
        CompletionItem(row.run, help=f"{row.status}  {row.workflow} · {row.title}") for row in _asked(listed)
    ]
    return offered


def _jobs(context: click.Context, _: str) -> Iterable[CompletionItem]:
    progress = _progress(_argument(context, "run") or "latest")
    return [CompletionItem(job.name, help=job.status) for job in progress.jobs.values()]


def _held_jobs(context: click.Context, _: str) -> Iterable[CompletionItem]:
    progress = _progress(_argument(context, "run") or "latest")
    return [
        CompletionItem(job.name, help=job.message) for job in progress.jobs.values() if job.status == "held"
    ]


def _runs_or_jobs(context: click.Context, typed: str) -> Iterable[CompletionItem]:
    # One argument alone may be a job of the latest run.
    return [*_jobs(context, typed), *_runs(context, typed)]


def _jobs_of_workflow(context: click.Context, _: str) -> Iterable[CompletionItem]:
    from relevo.cli.workflows import find
    from relevo.workflow.calls import local_files
    from relevo.workflow.reader import read

    found = find(_argument(context, "workflow"))
    workflow = read(found.text, found.path, local_files(found.directory))
    return [CompletionItem(id, help=str(job.name or "")) for id, job in workflow.jobs.items()]


def _argument(context: click.Context, name: str) -> str | None:
    """The command's first argument. Where an option waits for its value, click has not yet sorted the arguments."""
    given: str | None = context.params.get(name)
    if given is None or (given == "latest" and context.args):
        return context.args[0] if context.args else None
    return given


def _progress(run: str) -> Progress:
    from relevo.cli.log_reading import progress_of

    async def read(api: UserApi) -> Progress:
        return await progress_of(api, (await api.find(run)).run)

    return _asked(read)


def _asked(question: Callable[[UserApi], Awaitable[T]]) -> T:
    """What the engine, or what is stored, answers."""
    from relevo.cli import connect

    answers: list[T] = []

    async def main() -> int:
        async with connect.client() as api:
            answers.append(await question(api))
        return 0

    connect.run(main)
    return answers[0]


OFFERS: Final[dict[str, Callable[[click.Context, str], Iterable[CompletionItem]]]] = {
    "workflows": _workflows,
    "runs": _runs,
    "jobs": _jobs,
    "held jobs": _held_jobs,
    "runs or jobs": _runs_or_jobs,
    "jobs of the workflow": _jobs_of_workflow,
}
