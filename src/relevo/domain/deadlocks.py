"""Who waits for a concurrency group that can never be free for it: it is held by what waits for it in turn.

A member lets go of its group when it has ended, and it has ended when all in it has: the jobs of a run, those that a call
called. So whoever waits for a group waits for all that wait in its holder, and for those who wait for it before him.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relevo.domain.events import GroupAsk
from relevo.domain.groups import RUN, Group, Key, Member
from relevo.domain.run import Job, Run, inside

Runs = Callable[[str], Run | None]


def deadlock(key: Key, ask: GroupAsk, groups: Callable[[str], Group | None], runs: Runs, *, who: str) -> str:
    """Why a new member of a group would wait for ever; "" when it would not. `groups`: by stream, `runs`: the live ones.

    O(jobs of the runs that wait for each other).
    """
    seen: set[tuple[str, Key]] = set()
    pending = [(blocker, ask.stream, blocker) for blocker in _before(groups(ask.stream), ask)]
    while pending:
        first, stream, blocker = pending.pop()
        if (stream, blocker.key) in seen:
            continue
        seen.add((stream, blocker.key))
        if _holds(blocker.key, key, runs):
            return _told(ask, first, who)
        for waiting, wanted in _waiting_in(blocker.key, runs):
            group = groups(wanted.stream)
            if group is not None and waiting in group.members:
                pending += [(first, wanted.stream, other) for other in _ahead(group, waiting)]
    return ""


def _told(ask: GroupAsk, blocker: Member, who: str) -> str:
    return (
        f"a deadlock: concurrency group '{ask.name}' is only free when {blocker.who} has ended, "
        f"and that waits for {who}"
    )


def _before(group: Group | None, ask: GroupAsk) -> list[Member]:
    """Whom a new member waits for. Those who wait go away, unless it queues behind them."""
    if group is None or group.holder is None:
        return []
    return [group.holder, *(group.waiting if ask.queues and not ask.cancel else ())]


def _ahead(group: Group, key: Key) -> list[Member]:
    ahead = [] if group.holder is None or group.holder.key == key else [group.holder]
    for member in group.waiting:
        if member.key == key:
            return ahead
        ahead.append(member)
    return []  # it does not wait: it has it, or never will


def _holds(holder: Key, key: Key, runs: Runs) -> bool:
    """Whether a member ends only after another one."""
    if holder.run != key.run or holder == key:
        return False
    if holder.job == RUN:
        return True
    run = runs(key.run)
    if run is None or key.job == RUN:
        return False
    call = run.jobs[key.job].node.call
    while call is not None:
        if call.index == holder.job:
            return True
        call = call.node.call
    return False


def _waiting_in(key: Key, runs: Runs) -> Iterator[tuple[Key, GroupAsk]]:
    """All of a member that waits for groups, and for which."""
    run = runs(key.run)
    if run is None:
        return
    accepted = run.accepted
    if key.job == RUN and run.waiting and accepted is not None and accepted.group is not None:
        yield key, accepted.group
    for job in _jobs_in(run, key.job):
        ask = job.asks
        if ask is not None:
            yield Key(key.run, job.index), ask


def _jobs_in(run: Run, job: int) -> Iterator[Job]:
    if job == RUN:
        yield from run.jobs
        return
    yield run.jobs[job]
    for node in run.jobs[job].nodes:
        yield from node.jobs
        for inner in inside(node):
            yield from inner.jobs
