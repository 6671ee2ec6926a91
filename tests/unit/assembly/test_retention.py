"""What pruning removes, and what it must not."""

from __future__ import annotations

from tests.unit.orchestrator.kit import ONE, FakeAgent, World, until

from relevo.agent.caches import Caches, Entry
from relevo.assembly.retention import Limits, prune, prune_caches
from relevo.blobs.fresh import KEEP_S, Fresh
from relevo.domain import commands as c
from relevo.orchestrator import keys
from relevo.protocol import messages as m
from relevo.testing.virtual_loop import run_virtual

NOTHING_STAYS = Limits(keep_runs=0)


async def _blob(world: World, data: bytes) -> str:
    writer = await world.blobs.create()
    await writer.write(data)
    digest = await writer.commit()
    world.blobs.fresh.clear()  # as if an earlier engine had taken it
    return digest


async def _run(world: World, agent: FakeAgent, *digests: str, end: bool = True) -> str:
    seen = len(agent.assigned())
    run = await world.submit(ONE)
    await until(lambda: len(agent.assigned()) > seen)
    for digest in digests:
        agent.records(m.ArtifactSaved(run, 0, 1, digest[:4], digest, 1, 1))
    if end:
        agent.finish(agent.assigned()[-1], log=b"log of " + run.encode())
        await until(lambda: run not in world.now.orchestrator.live)
    else:
        await until(lambda: world.names(run).count("ArtifactSaved") == len(digests))
    return run


def test_an_ended_run_goes_with_all_that_only_it_used():
    async def main():
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine)
        agent.hello()
        own, shared, orphan = [await _blob(world, data) for data in (b"own", b"shared", b"orphan")]
        old = await _run(world, agent, own, shared)
        live = await _run(world, agent, shared, end=False)
        removed = []

        async def remove_kept(run):
            removed.append(run)

        told = await prune(engine.parts, NOTHING_STAYS, dry=True)
        assert (told["runs"], removed, len(world.blobs.held)) == ([old], [], 3)
        done = await prune(engine.parts, NOTHING_STAYS, remove_kept=remove_kept)
        assert done == {**told, "dry": False}
        assert removed == [old]
        assert list(world.disk.rows) == [live]
        assert list(world.blobs.held) == [shared]
        assert orphan not in world.blobs.held
        assert engine.parts.logs.attempts(old) == []
        await engine.close()

    run_virtual(main())


def test_the_keys_that_led_to_a_run_go_with_it():
    async def main():
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine)
        agent.hello()
        old = await _run(world, agent)
        live = await _run(world, agent, end=False)
        facts = world.disk.facts
        for key, run in (("a", old), ("b", live), ("c", "pruned-by-an-earlier-version")):
            fact = keys.fact_of(key, run, "digest")
            facts[fact.key] = fact.value
        facts["idempotency/d"] = old.encode()  # as earlier versions wrote them
        before = dict(facts)
        await prune(engine.parts, NOTHING_STAYS, dry=True)
        assert facts == before
        await prune(engine.parts, NOTHING_STAYS)
        assert [key for key in facts if key.startswith(keys.PREFIX)] == ["idempotency/b"]
        await engine.close()

    run_virtual(main())


def test_a_blob_that_was_just_put_is_no_garbage_though_nobody_names_it_yet():
    async def main():
        world = World()
        engine = await world.engine()
        writer = await world.blobs.create()
        await writer.write(b"snapshot")
        digest = await writer.commit()
        await prune(engine.parts, NOTHING_STAYS)
        assert list(world.blobs.held) == [digest]
        await engine.close()

    run_virtual(main())


def test_a_run_that_a_live_one_retries_stays():
    async def main():
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine)
        agent.hello()
        old = await _run(world, agent)
        submit, plan, blob = world.submission(ONE)
        again = c.Submit(
            **{name: getattr(submit, name) for name in submit.__struct_fields__} | {"retried_from": old}
        )
        await engine.orchestrator.submit(again, plan, blob)
        assert (await prune(engine.parts, NOTHING_STAYS))["runs"] == []
        await until(lambda: len(agent.assigned()) == 2)
        agent.finish(agent.assigned()[-1])
        await until(lambda: not engine.orchestrator.live)
        assert (await prune(engine.parts, NOTHING_STAYS))["runs"] == [old, again.run]
        await engine.close()

    run_virtual(main())


def test_facts_go_with_the_last_run_that_names_them():
    async def main():
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine)
        agent.hello()
        same = [await _run(world, agent) for _ in range(2)]
        live = await _run(world, agent, end=False)

        def kinds() -> list[str]:
            return sorted(key.partition("/")[0] for key in world.disk.facts)

        async def removed(keep_runs: int) -> list[str]:
            watch = engine.orchestrator.naming
            return (await prune(engine.parts, Limits(keep_runs=keep_runs), watch=watch))["runs"]

        assert kinds() == ["context", "context", "context", "spec"]
        assert await removed(0) == same
        assert kinds() == ["context", "spec"]  # the live one names them
        agent.finish(agent.assigned()[-1])
        await until(lambda: not engine.orchestrator.live)
        assert await removed(0) == [live]
        assert kinds() == []
        again = await _run(world, agent)
        assert kinds() == ["context", "spec"]  # stored anew
        assert await removed(0) == [again]
        await engine.close()

    run_virtual(main())


def test_facts_stay_that_a_run_names_which_comes_while_old_ones_go():
    async def main():
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine)
        agent.hello()
        old = await _run(world, agent)
        came = []

        async def remove_logs(run):
            came.append(await world.submit(ONE))

        engine.parts.logs.delete = remove_logs
        watch = engine.orchestrator.naming
        assert (await prune(engine.parts, NOTHING_STAYS, watch=watch))["runs"] == [old]
        await engine.close()
        engine = await world.engine()
        assert list(engine.orchestrator.live) == came
        await engine.close()

    run_virtual(main())


def test_what_a_damaged_run_may_name_stays_as_long_as_it():
    async def main():
        world = World()
        engine = await world.engine()
        agent = FakeAgent(engine)
        agent.hello()
        of_old, of_damaged = [await _blob(world, data) for data in (b"old", b"damaged")]
        old = await _run(world, agent, of_old)
        damaged = await _run(world, agent, of_damaged)
        world.disk.damage.add((damaged, 2))
        done = await prune(engine.parts, Limits(keep_runs=1))
        assert done["runs"] == [old]
        assert set(world.blobs.held) == {of_old, of_damaged}
        done = await prune(engine.parts, NOTHING_STAYS)
        assert done["runs"] == [damaged]
        assert not world.blobs.held
        await engine.close()

    run_virtual(main())


def test_caches_go_by_their_own_limit(tmp_path):
    caches = Caches(str(tmp_path / "caches"))
    written = caches.new()
    with open(written, "wb") as file:
        file.write(b"12345")
    caches.add(Entry("k", "v", "team/thing", "refs/heads/main", "d", 5, 1), written)
    now_ms = int(tmp_path.stat().st_mtime * 1000)
    folder = str(tmp_path / "caches")
    assert prune_caches("", Limits(), now_ms).entries == 0
    assert prune_caches(folder, Limits(), now_ms).entries == 0
    assert prune_caches(folder, Limits(max_cache_bytes=4), now_ms, dry=True).size_bytes == 5
    assert caches.usage() == (1, 5)
    assert prune_caches(folder, Limits(max_cache_bytes=4), now_ms).entries == 1
    assert caches.usage() == (0, 0)


def test_what_was_put_and_never_named_goes_after_a_day():
    async def main():
        world = World()
        engine = await world.engine()
        clock = [0.0]
        world.blobs.fresh = Fresh(lambda: clock[0])
        for data in (b"left", b"asked for again"):
            writer = await world.blobs.create()
            await writer.write(data)
            digest = await writer.commit()
        for clock[0], left in ((KEEP_S - 1, 2), (KEEP_S + 1, 1), (2 * KEEP_S, 0)):
            if left == 2:
                world.blobs.fresh.add(digest)
            await prune(engine.parts, NOTHING_STAYS)
            assert len(world.blobs.held) == left
        await engine.close()

    run_virtual(main())
