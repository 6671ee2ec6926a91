"""Who waits for a concurrency group that can never be free for it: it is held by what waits for it in turn.

A member lets go of its group when it has ended, and it has ended when all in it has: the jobs of a run, those that a call
called. So whoever waits for a group waits for all that wait in its holder. Those who wait for it before him add nothing:
they wait for the same holder, and nothing in them has begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relevo.domain.events import GroupAsk
from relevo.domain.groups import RUN, Group, Key, Member
from relevo.domain.run import Job, Run, inside
from relevo.domain.states import MemberStatus

Runs = Callable[[str], Run | None]


def deadlock(key: Key, ask: GroupAsk, groups: Callable[[str], Group | None], runs: Runs, *, who: str) -> str:
    """Why who asks for a group, or waits for it already, would wait for ever; "" when it would not.

    `groups`: by stream; `runs`: the live ones. O(jobs in all the holders that wait for each other).
    """
    first = _holder(groups(ask.stream))
    if first is None or first.key == key:
        return ""
    seen: set[Key] = set()
    pending = [first]
    while pending:
        holder = pending.pop()
        if holder.key in seen:
            continue
        seen.add(holder.key)
        if _ends_after(holder.key, key, runs):
            return (
                f"a deadlock: concurrency group '{ask.name}' is only free when {first.who} has ended, "
                f"and that waits for {who}"
            )
        if _ends_at_once(holder, runs, cancel=ask.cancel and holder is first):
            continue
        for waiting, wanted in _waiting_in(holder.key, runs):
            group = groups(wanted.stream)
            other = _holder(group)
            if group is None or other is None:
                continue
            member = group.members.get(waiting)
            # Who is no member yet is judged when it is one; who is refused is about to end.
            if member is not None and member.status is MemberStatus.WAITING:
                pending.append(other)
    return ""


def _holder(group: Group | None) -> Member | None:
    return None if group is None else group.holder


def _ends_after(holder: Key, key: Key, runs: Runs) -> bool:
    """Whether a member ends only after another one: it is that one, or that one is in it."""
    if holder.run != key.run:
        return False
    if holder == key or holder.job == RUN:
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


def _ends_at_once(holder: Member, runs: Runs, *, cancel: bool) -> bool:
    """Whether nothing in a holder goes on to wait: it is a job, and is yet to be told of its cancellation.

    What asks for a group in it after that (`if: always()`) waits as any other.
    """
    if holder.key.job == RUN or not (cancel or holder.status is MemberStatus.LEAVING):
        return False
    run = runs(holder.key.run)
    return run is not None and not run.jobs[holder.key.job].cancelling


def _waiting_in(key: Key, runs: Runs) -> Iterator[tuple[Key, GroupAsk]]:
    """All of a member that waits for groups, and for which."""
    run = runs(key.run)
    if run is None:
        return
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
