"""Concurrency groups: examples, then any sequence of commands against a simpler look at them; and deadlocks."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain import groups as g
from relevo.domain.deadlocks import deadlock
from relevo.domain.errors import InvalidTransition
from relevo.domain.machine import handle
from relevo.domain.run import Run
from relevo.domain.states import MemberStatus


def ask(run: str, job: int = g.RUN, *, name: str = "g", **how: bool) -> g.Ask:
    return g.Ask(run, job, e.GroupAsk("stream", name, **how), f"run {run}")


def told(events: list[g.GroupEvent]) -> list[tuple[str, str]]:
    return [(type(event).__name__, event.run) for event in events]


def test_the_first_has_it_and_the_next_gets_it_when_that_lets_go():
    group = g.Group()
    assert told(g.handle(group, ask("a"))) == [("Asked", "a"), ("Granted", "a")]
    assert told(g.handle(group, ask("b"))) == [("Asked", "b")]
    assert told(g.handle(group, g.Release("a", g.RUN))) == [("Released", "a"), ("Granted", "b")]


def test_one_waits_and_a_newer_one_takes_its_place():
    group = g.Group()
    for run in "ab":
        g.handle(group, ask(run))
    events = g.handle(group, ask("c", name="G"))
    assert told(events) == [("Refused", "b"), ("Asked", "c")]
    assert events[0].reason == "run c took its place: one at most waits for concurrency group 'G'"


def test_cancel_in_progress_cancels_what_has_it_and_waits_for_its_end():
    group = g.Group()
    for run in "ab":
        g.handle(group, ask(run))
    assert told(g.handle(group, ask("c", cancel=True))) == [("Refused", "b"), ("Ousted", "a"), ("Asked", "c")]
    assert told(g.handle(group, ask("d", cancel=True))) == [("Refused", "c"), ("Asked", "d")]
    assert group.holder is not None
    assert group.holder.status is MemberStatus.LEAVING
    assert told(g.handle(group, g.Release("a", g.RUN))) == [("Released", "a"), ("Granted", "d")]


def test_a_hundred_wait_in_order_with_queue_max():
    group = g.Group()
    for number in range(101):
        assert told(g.handle(group, ask(str(number), queues=True)))[-1][0] == (
            "Asked" if number else "Granted"
        )
    assert told(g.handle(group, ask("more", queues=True))) == [("Asked", "more"), ("Refused", "more")]
    assert [member.key.run for member in group.waiting] == [str(number) for number in range(1, 101)]


def test_asking_and_releasing_twice_is_nothing():
    group = g.Group()
    g.handle(group, ask("a"))
    assert g.handle(group, ask("a")) == []
    assert g.handle(group, g.Release("b", 3)) == []
    g.handle(group, g.Release("a", g.RUN))
    assert g.handle(group, g.Release("a", g.RUN)) == []
    assert not group.members


def test_a_history_that_could_not_be_is_refused():
    asked = [g.Asked("a", 0, "", "g"), g.Asked("b", 0, "", "g")]
    for wrong in (
        [g.Granted("a", 0)],
        [*asked, g.Granted("a", 0), g.Granted("b", 0)],
        [*asked, g.Granted("a", 0), g.Refused("a", 0, "")],
        [*asked, g.Ousted("a", 0, "")],
        [*asked, asked[0]],
        [g.Released("a", 0)],
    ):
        with pytest.raises(InvalidTransition):
            g.replay(wrong)


class AnyGroup(RuleBasedStateMachine):
    """Any commands of a few members, against lists."""

    def __init__(self):
        super().__init__()
        self.group = g.Group()
        self.events: list[g.GroupEvent] = []
        self.holder: g.Key | None = None
        self.queue: list[g.Key] = []
        self.refused: set[g.Key] = set()

    members = st.tuples(st.sampled_from("abcd"), st.integers(-1, 2)).map(lambda one: g.Key(*one))

    @rule(
        key=members, cancel=st.booleans(), queues=st.booleans(), stuck=st.sampled_from([False] * 9 + [True])
    )
    def ask(self, key, cancel, queues, stuck):
        queues = queues and not cancel
        command = g.Ask(*key, e.GroupAsk("s", "g", cancel, queues), "w", "stuck" if stuck else "")
        made = g.handle(self.group, command)
        self.events += made
        if key == self.holder or key in self.queue or key in self.refused:
            assert not made
        elif stuck:
            self.refused.add(key)
        elif self.holder is None:
            self.holder = key
        else:
            if not queues:
                self.refused.update(self.queue)
                self.queue = []
            self.queue.append(key)

    @rule(key=members)
    def release(self, key):
        self.events += g.handle(self.group, g.Release(*key))
        self.refused.discard(key)
        if key in self.queue:
            self.queue.remove(key)
        if key == self.holder:
            self.holder = self.queue.pop(0) if self.queue else None

    @invariant()
    def it_is_as_the_lists_say(self):
        holder = self.group.holder
        assert (holder and holder.key) == self.holder
        assert [member.key for member in self.group.waiting] == self.queue
        refused = {key for key, one in self.group.members.items() if one.status is MemberStatus.REFUSED}
        assert refused == self.refused
        assert len(self.group.members) == len(self.queue) + len(refused) + (holder is not None)

    @invariant()
    def nobody_waits_for_nobody(self):
        assert self.group.holder is not None or not self.group.waiting

    @invariant()
    def the_events_tell_the_same(self):
        again = g.replay(g.decode(g.encode(self.events)))
        assert [(one.key, one.status, one.reason) for one in again.members.values()] == [
            (one.key, one.status, one.reason) for one in self.group.members.values()
        ]
        assert (again.holder and again.holder.key) == self.holder


TestAnyGroup = AnyGroup.TestCase
TestAnyGroup.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# --- deadlocks ------------------------------------------------------------------------------------------------------


class Groups:
    """Runs and groups, as an engine has them."""

    def __init__(self) -> None:
        self.groups: dict[str, g.Group] = {}
        self.runs: dict[str, Run] = {}

    def run(self, name: str, group: str = "", jobs: dict[str, list[str]] | None = None) -> Run:
        """With nodes that each have one job, and its groups."""
        run = self.runs[name] = Run()
        asked = e.GroupAsk(group, group) if group else None
        nodes = [e.NodeDecl(id, []) for id in jobs or {}]
        handle(run, c.Submit(name, "w", "t", "push", "s", "x", nodes, group=asked))
        if asked is not None:
            self.ask(name, g.RUN, asked)
        for node, groups in enumerate((jobs or {}).values()):
            asks = [e.GroupAsk(one, one) for one in groups]
            handle(run, c.ExpandNode(node, [e.JobDecl(f"j{node}", groups=asks)]))
        return run

    def why(self, run: str, job: int, asked: e.GroupAsk) -> str:
        return deadlock(g.Key(run, job), asked, self.groups.get, self.runs.get, who=f"{run}/{job}")

    def ask(self, run: str, job: int, asked: e.GroupAsk | None = None) -> str:
        """Ask as the engine does; why it is a deadlock."""
        asked = asked or self.runs[run].jobs[job].asks
        assert asked is not None
        why = self.why(run, job, asked)
        group = self.groups.setdefault(asked.stream, g.Group())
        g.handle(group, g.Ask(run, job, asked, f"{run}/{job}", why))
        holder = group.holder
        if holder is not None and holder.key == (run, job):
            handle(self.runs[run], c.GrantGroup(job, asked.stream))
        return why


def test_a_job_that_asks_for_the_group_of_its_run():
    world = Groups()
    world.run("a", "x", {"j": ["x"]})
    assert world.ask("a", 0) == (
        "a deadlock: concurrency group 'x' is only free when a/-1 has ended, and that waits for a/0"
    )


def test_a_job_of_another_run_just_waits():
    world = Groups()
    world.run("a", "x", {"j": []})
    world.run("b", "", {"j": ["x"]})
    assert world.ask("b", 0) == ""


def test_two_runs_whose_jobs_ask_for_the_group_of_the_other():
    world = Groups()
    world.run("a", "x", {"j": ["y"]})
    world.run("b", "y", {"j": ["x"]})
    assert world.ask("a", 0) == ""
    assert "only free when a/-1 has ended" in world.ask("b", 0)


def test_three_in_a_circle_and_one_outside():
    world = Groups()
    for run, own, other in (("a", "x", "y"), ("b", "y", "z"), ("c", "z", "x")):
        world.run(run, own, {"j": [other]})
    assert world.ask("a", 0) == ""
    assert world.ask("b", 0) == ""
    world.run("d", "", {"j": ["x"]})
    assert world.ask("d", 0) == ""
    assert world.ask("c", 0)


def test_who_waits_in_the_queue_before_counts_too():
    world = Groups()
    world.run("a", "x", {"j": []})
    world.run("b", "y", {"j": ["x"]})
    assert world.ask("b", 0) == ""  # it waits for x, behind run a
    # run c would wait for x behind b's job, and b's run waits for nothing of c: no deadlock
    world.run("c", "", {"j": ["x"]})
    assert world.why("c", 0, e.GroupAsk("x", "x", queues=True)) == ""
    # but a job in what holds y may not ask for x behind somebody who waits for y
    world.run("d", "", {"j": ["y"]})
    assert world.ask("d", 0) == ""
    assert world.why("b", 0, e.GroupAsk("y", "y"))


def test_a_job_in_a_call_that_has_the_group():
    world = Groups()
    run = world.runs["a"] = Run()
    handle(run, c.Submit("a", "w", "t", "push", "s", "x", [e.NodeDecl("call", [])]))
    asks = [e.GroupAsk("x", "x")]
    handle(run, c.ExpandNode(0, [e.JobDecl("call", calls="c", groups=asks)], nodes=[e.NodeDecl("in", [])]))
    assert world.ask("a", 0) == ""
    handle(run, c.ExpandNode(1, [e.JobDecl("call / in", groups=asks)]))
    assert "only free when a/0 has ended" in world.ask("a", 1)
