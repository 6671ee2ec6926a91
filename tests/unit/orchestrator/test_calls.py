"""Runs that call workflows: what is stored of them, and that the next engine sees the same."""

from __future__ import annotations

import pytest
from msgspec.msgpack import decode, encode

from relevo.domain import events as e
from relevo.domain.states import JobStatus
from relevo.orchestrator import calling
from relevo.protocol import messages as m
from relevo.store.contract import Fact
from relevo.testing.virtual_loop import run_virtual
from tests.unit.orchestrator.kit import FakeAgent, World, until

JOB = "runs-on: linux\n    steps: [{run: x}]"
CALLER = f"""on: push
jobs:
  first:
    {JOB}
  build:
    needs: first
    strategy: {{matrix: {{n: [1, 2]}}}}
    uses: ./c.yml
    with: {{text: "${{{{ needs.first.outputs.text }}}}", n: "${{{{ matrix.n }}}}"}}
  after:
    needs: build
    {JOB}
"""
CALLED = f"""on:
  workflow_call:
    inputs: {{text: {{type: string}}, n: {{type: number}}}}
    outputs: {{all: {{value: "${{{{ jobs.one.outputs.word }}}}"}}}}
jobs:
  one:
    {JOB}
  two:
    needs: one
    {JOB}
"""
LONG = "long " * 5_000


async def world_with_agent() -> tuple[World, FakeAgent]:
    world = World()
    agent = FakeAgent(await world.engine(), slots=8)
    agent.hello()
    return world, agent


def named(agent: FakeAgent, *names: str) -> list[m.Assignment]:
    return [one for name in names for one in agent.assigned() if one.own.name == name]


def facts(world: World, kind: str) -> list[str]:
    return [key for key in world.disk.facts if key.startswith(f"{kind}/")]


def test_the_next_engine_goes_on_within_a_call():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(CALLER, {"c.yml": CALLED}, inputs={"own": "of the run"})
        await until(lambda: named(agent, "first"))
        agent.finish(*named(agent, "first"), outputs={"text": LONG})
        await until(lambda: len(named(agent, "build (1) / one", "build (2) / one")) == 2)
        assert named(agent, "first")[0].own.inputs is None
        assert named(agent, "build (2) / one")[0].own.inputs == {"text": LONG, "n": 2}
        assert len(facts(world, "inputs")) == 2  # of each leg, beside events that stay small
        assert all(len(e.encode([event])) <= e.EVENT_LIMIT for event in world.events(run))
        agent.finish(*named(agent, "build (1) / one"), outputs={"word": LONG})
        await until(lambda: named(agent, "build (1) / two"))
        live = [m.Live(run, one.job, 1, True) for one in agent.assigned() if one.own.name.endswith("two")]
        live += [m.Live(run, named(agent, "build (2) / one")[0].job, 1, True)]
        await world.now.close()

        second = FakeAgent(await world.engine(epoch=2), slots=8)
        second.first, second.next = agent.next, agent.next
        second.hello(*live)
        await until(lambda: run in world.now.orchestrator.live)
        for done, then in (("build (2) / one", "build (2) / two"), ("build (1) / two", "")):
            second.finish(*named(agent, done), outputs={"word": "second"})
            await until(lambda then=then: not then or named(second, then))
        [last] = named(second, "build (2) / two")
        assert last.own.inputs == {"text": LONG, "n": 2}
        assert last.own.needs == {"one": {"result": "success", "outputs": {"word": "second"}}}
        second.finish(last)
        await until(lambda: named(second, "after"))
        assert named(second, "after")[0].own.needs["build"]["outputs"] == {"all": "second"}
        second.finish(*named(second, "after"))
        await until(lambda: world.status(run) == "succeeded")
        assert (world.disk.rows[run].jobs, world.disk.rows[run].jobs_ended) == (6, 6)
        await world.now.close()

    run_virtual(main())


def test_long_outputs_of_a_call_lie_in_a_fact_and_come_back():
    async def main():
        world, agent = await world_with_agent()
        text = f"on: push\njobs:\n  a: {{uses: ./c.yml}}\n  b:\n    needs: a\n    {JOB}\n"
        called = f"on: {{workflow_call: {{outputs: {{x: {{value: long}}}}}}}}\njobs:\n  one:\n    {JOB}\n"
        run = await world.submit(text, {"c.yml": called.replace("long", LONG)})
        await until(lambda: agent.assigned())
        agent.finish(*agent.assigned())
        await until(lambda: named(agent, "b"))
        assert len(facts(world, "outputs")) == 1
        await world.now.close()
        second = FakeAgent(await world.engine(epoch=2))
        second.first, second.next = agent.next, agent.next
        second.hello(m.Live(run, named(agent, "b")[0].job, 1, True))
        await until(lambda: run in world.now.orchestrator.live)
        assert world.now.orchestrator.live[run].run.nodes[0].outputs == {"x": LONG.strip()}
        await world.now.close()

    run_virtual(main())


def test_jobs_in_calls_count_for_the_limit():
    async def main():
        world, agent = await world_with_agent()
        text = "on: push\njobs:\n  a:\n    strategy: {matrix: {n: [1, 2, 3]}}\n    uses: ./c.yml\n"
        called = CALLED.replace("text: {type: string}, n: {type: number}", "")
        run = await world.submit(text, {"c.yml": called}, job_limit=5)
        await until(lambda: world.status(run) == "failed")
        [ended] = [event for event in world.events(run) if isinstance(event, e.JobEnded)]
        assert ended.message.startswith("w.yml:5:11: it calls 6 jobs, and the run may have 5 in all")
        assert not agent.assigned()
        assert await world.submit(text, {"c.yml": called}, job_limit=6)
        await until(lambda: len(agent.assigned()) == 3)
        await world.now.close()

    run_virtual(main())


def test_levels_of_calls_with_matrices_are_bounded_together():
    async def main():
        world, _ = await world_with_agent()
        text = "on: {event}\njobs:\n  x:\n    strategy: {{matrix: {{n: [1, 2, 3, 4, 5]}}}}\n    uses: ./{to}.yml\n"
        files = {f"{n}.yml": text.format(event="{workflow_call: }", to=n + 1) for n in range(6)}
        files["6.yml"] = f"on: {{workflow_call: }}\njobs:\n  last:\n    {JOB}\n"
        run = await world.submit(text.format(event="push", to=0), files, job_limit=40)
        await until(lambda: world.status(run) == "failed")
        assert sum(type(event) is e.NodeExpanded for event in world.events(run)) < 40 * len(files)
        assert world.disk.rows[run].jobs <= 40
        ends = [event for event in world.events(run) if isinstance(event, e.JobEnded)]
        assert any("legs that the run may still have" in end.message for end in ends)
        await world.now.close()

    run_virtual(main())


def test_a_retry_takes_over_from_the_same_job_whatever_its_name():
    async def main():
        world, agent = await world_with_agent()
        text = f"""on: push
jobs:
  first:
    {JOB}
  second:
    {JOB}
  b: {{name: Deploy, needs: second, uses: ./c.yml}}
  a: {{name: Deploy, needs: first, uses: ./c.yml}}
"""
        called = {"c.yml": f"on: workflow_call\njobs:\n  one:\n    {JOB}\n"}
        run = await world.submit(text, called)
        await until(lambda: len(agent.assigned()) == 2)
        for done, then in (("second", "Deploy / one"), ("first", "Deploy #2 / one")):
            agent.finish(*named(agent, done))
            await until(lambda then=then: named(agent, then))
        agent.finish(*named(agent, "Deploy / one"))
        agent.finish(*named(agent, "Deploy #2 / one"), "failed")
        await until(lambda: world.status(run) == "failed")
        orchestrator = world.now.orchestrator
        submit, plan, blob = world.submission(text, called)
        await orchestrator.submit(submit, plan, blob, carried=await orchestrator.stored.carried(run))
        await until(lambda: len(agent.assigned()) == 5)
        state = orchestrator.live[submit.run].run
        # what was `Deploy #2` is due first now
        assert {job.node.path: job.status.value for job in state.jobs if job.number} == {
            "a / one": "assigned"
        }
        assert {job.decl.name for job in state.jobs if job.number} == {"Deploy / one"}
        await world.now.close()

    run_virtual(main())


def test_outputs_that_cannot_be_told_fail_the_call_by_their_place():
    async def main():
        world, agent = await world_with_agent()
        text = "on: push\njobs:\n  a: {uses: ./c.yml}\n"
        called = CALLED.replace("jobs.one.outputs.word", "fromJSON(jobs.one.outputs.word)").replace(
            "text: {type: string}, n: {type: number}", ""
        )
        run = await world.submit(text, {"c.yml": called})
        await until(lambda: agent.assigned())
        agent.finish(*agent.assigned(), outputs={"word": "{"})
        await until(lambda: named(agent, "a / two"))
        agent.finish(*named(agent, "a / two"))
        await until(lambda: world.status(run) == "failed")
        message = [event.message for event in world.events(run) if isinstance(event, e.JobEnded)][-1]
        assert message.startswith("c.yml: on.workflow_call.outputs.all: ")
        assert message.endswith(" (called by w.yml:3:13)")
        await world.now.close()

    run_virtual(main())


def test_a_defect_in_what_comes_back_fails_the_call_and_not_the_engine(monkeypatch):
    async def main():
        def broken(*_):
            raise ZeroDivisionError

        monkeypatch.setattr(calling, "outputs_of", broken)
        world, agent = await world_with_agent()
        run = await world.submit(
            "on: push\njobs:\n  a: {uses: ./c.yml}\n",
            {"c.yml": "on: workflow_call\njobs:\n  one:\n    " + JOB},
        )
        await until(lambda: agent.assigned())
        agent.finish(*agent.assigned())
        await until(lambda: world.status(run) == "failed")
        await world.now.close()

    run_virtual(main())


SECRETS = """on: push
jobs:
  a:
    uses: ./c.yml
    secrets: {{key: "{value}"}}
"""
TAKES = f"on: {{workflow_call: {{secrets: {{key: {{}}}}}}}}\njobs:\n  one:\n    {JOB}\n"


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("${{ secrets.A }}-${{ github.event_name }}", {"key": "hidden-push"}),
        ("${{ secrets.NONE }}", {"key": ""}),
        ("${{ fromJSON(secrets.A) }}", "w.yml:5:20: jobs.a.secrets.key: its expression cannot be evaluated"),
    ],
)
def test_secrets_are_passed_on_when_an_agent_asks(value, seen):
    async def main():
        world, agent = await world_with_agent()
        submit, plan, blob = world.submission(SECRETS.format(value=value), {"c.yml": TAKES})
        sealed = Fact(f"secrets/{submit.run}", encode({"A": "hidden", "B": "other"}))
        await world.now.orchestrator.submit(submit, plan, blob, (sealed,))
        await until(lambda: agent.assigned())
        [one] = agent.assigned()
        agent.say(m.GetBlob(1, f"secrets:{one.run}/{one.job}/{one.number}", 0))
        await until(lambda: agent.of(m.BlobBytes))
        [answer] = agent.of(m.BlobBytes)
        if isinstance(seen, dict):
            assert decode(answer.data) == seen
        else:
            assert answer.error == seen
        stored = b"".join(one.events for one in world.disk.streams[submit.run])
        assert b"hidden" not in stored
        await world.now.close()

    run_virtual(main())


def test_a_call_is_no_job_of_the_scheduler():
    async def main():
        world, agent = await world_with_agent()
        run = await world.submit(
            "on: push\njobs:\n  a: {uses: ./c.yml}\n",
            {"c.yml": "on: workflow_call\njobs:\n  one:\n    " + JOB},
        )
        await until(lambda: agent.assigned())
        jobs = world.now.orchestrator.live[run].run.jobs
        assert (jobs[0].decl.name, jobs[0].status) == ("a", JobStatus.CALLING)
        assert [one.own.name for one in agent.assigned()] == ["a / one"]
        await world.now.close()

    run_virtual(main())
