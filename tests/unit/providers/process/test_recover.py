from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import WorkerSpec, WorkerUnavailable
from relevo.providers.process import ProcessProvider, launching
from relevo.providers.process import provider as provider_module
from relevo.providers.process import slot as slot_module
from relevo.providers.process.slot import read_record
from relevo.runtime import processes
from relevo.testing.contracts.providers import RecordingSink, attempt_key

from .conftest import bash, own_groups
from .family import Member, family_command, living, new_token, until_living

#: Nobody else's on this machine: what carries its mark is killed, wherever it is.
KEY = AttemptKey(f"run{os.getpid()}", 3, 2)

#: An agent of its own: argv is state_dir and mechanism, the step's argv stands in STEP. Prints the pids of the launcher
#: and of its self inside a PID namespace (the same if there is none) once the step runs.
AGENT = """
import asyncio, json, os, sys
from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, WorkerSpec
from relevo.providers.process import ProcessProvider
class Sink:
    def output(self, data): pass
    def ended(self, exit): pass
async def main():
    provider = ProcessProvider(sys.argv[1], mechanism=sys.argv[2])
    await provider.recover()
    worker = await provider.create(WorkerSpec(AttemptKey(os.environ["RUN"], 3, 2), "/"))
    await worker.start(Command(json.loads(os.environ["STEP"]), {"PATH": "/usr/bin:/bin"}, "/"), Sink())
    print(worker._slot.launcher.identity.pid, worker._slot.launcher.parent, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def start_agent(state_dir: str, mechanism: str, argv: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", AGENT, state_dir, mechanism],
        stdout=subprocess.PIPE,
        env={**os.environ, "STEP": json.dumps(argv), "RUN": KEY.run, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


async def killed_agent(
    state_dir: str, mechanism: str, argv: list[str], token: str, count: int, before: int, which: str = "inner"
) -> None:
    """An agent that was killed when its step ran, selves of the launcher having got the signal `before` (0: none)."""
    with start_agent(state_dir, mechanism, argv) as agent:
        assert agent.stdout is not None
        try:
            outer, inner = (await asyncio.to_thread(agent.stdout.readline)).split()
            await until_living(token, count)
            selves = {"outer": int(outer), "inner": int(inner)}
            for pid in {selves[name] for name in which.split()} if before else ():
                if before == signal.SIGKILL:
                    os.kill(agent.pid, signal.SIGSTOP)  # it is to notice nothing before it is killed too
                os.kill(pid, before)
        finally:
            agent.kill()


HIDDEN = Member(own_session=True, double_fork=True, clear_environment=True, ignore_signals=True)


async def test_a_launcher_ends_its_tree_when_the_agent_is_killed(
    provider: ProcessProvider, state_dir: str, mechanism: str
) -> None:
    token = new_token()
    argv = list(family_command([HIDDEN], token, wait=True).argv)
    await killed_agent(state_dir, mechanism, argv, token, 2, before=0)
    await until_living(token, 0)  # nobody recovered yet
    async with asyncio.timeout(60):
        while own_groups(provider):
            await asyncio.sleep(0.005)
    assert await provider.recover() == [KEY]
    assert await provider.recover() == []


async def test_recover_ends_what_a_stopped_launcher_could_not(
    provider: ProcessProvider, state_dir: str, mechanism: str
) -> None:
    token = new_token()
    argv = list(family_command([HIDDEN], token, wait=True).argv)
    await killed_agent(state_dir, mechanism, argv, token, 2, before=signal.SIGSTOP)
    assert len(living(token)) == 2
    assert await provider.recover() == [KEY]
    assert living(token) == []
    await works(provider)


@pytest.mark.parametrize("which", ["outer", "inner"])
async def test_nothing_outlives_agent_and_launcher(
    provider: ProcessProvider, state_dir: str, mechanism: str, which: str
) -> None:
    """Whichever of the launcher's two selves is killed with the agent. Where there are two, nobody need recover."""
    token = new_token()
    argv = list(family_command([HIDDEN], token, wait=True).argv)
    await killed_agent(state_dir, mechanism, argv, token, 2, before=signal.SIGKILL, which=which)
    if mechanism in ("pid-namespace", "subreaper"):
        await until_living(token, 0)
    assert await provider.recover() == [KEY]
    assert living(token) == []
    await works(provider)


async def test_recover_ends_what_carries_the_mark(
    provider: ProcessProvider, state_dir: str, mechanism: str
) -> None:
    """Agent, launcher and guard are killed at once: only the mark can be found then, where nothing holds the tree."""
    token = new_token()
    member = HIDDEN._replace(clear_environment=mechanism != "subreaper")
    argv = list(family_command([member], token, wait=True).argv)
    await killed_agent(state_dir, mechanism, argv, token, 2, before=signal.SIGKILL, which="outer inner")
    assert await provider.recover() == [KEY]
    assert living(token) == []
    await works(provider)


async def test_a_killed_launcher_is_a_lost_worker(provider: ProcessProvider) -> None:
    token = new_token()
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    await worker.start(family_command([Member(own_session=True)], token, wait=True), sink)
    await until_living(token, 2)
    assert worker._slot is not None
    assert worker._slot.launcher is not None
    os.kill(worker._slot.launcher.identity.pid, signal.SIGKILL)
    assert (await sink.until_ended()).lost
    with pytest.raises(WorkerUnavailable):
        await worker.start(bash("true"), RecordingSink())
    await worker.destroy()
    assert living(token) == []
    await works(provider)


async def test_a_stopped_launcher_is_woken(provider: ProcessProvider) -> None:
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    await worker.start(bash("true"), sink)
    await sink.until_ended()
    assert worker._slot is not None
    assert worker._slot.launcher is not None
    stopped = worker._slot.launcher.parent
    os.kill(stopped, signal.SIGSTOP)
    async with asyncio.timeout(60):
        while processes.stat(stopped).state != "T":
            await asyncio.sleep(0)
    sink = RecordingSink()
    starting = asyncio.ensure_future(worker.start(bash("exit 6"), sink))
    await asyncio.sleep(0)
    worker.look_after()
    await starting
    assert (await sink.until_ended()).code == 6
    await worker.destroy()


async def test_a_launcher_killed_while_idle_is_replaced(provider: ProcessProvider) -> None:
    await works(provider)
    assert provider._free[0].launcher is not None
    os.kill(provider._free[0].launcher.identity.pid, signal.SIGKILL)
    while not provider._free[0].launcher.gone:
        await asyncio.sleep(0)
    await works(provider)


async def test_a_slot_is_registered_before_anything_is_made(
    provider: ProcessProvider, state_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    real = launching.spawn

    def spawn(mode: str, groups: list[str]) -> object:
        record = read_record(os.path.join(state_dir, "slots", "0"))
        assert record is not None
        seen.append((record.mechanism, [os.path.exists(folder) for folder in record.folders.values()]))
        return real(mode, groups)

    monkeypatch.setattr(launching, "spawn", spawn)
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    assert len(seen) == 1
    mechanism, made = seen[0]  # type: ignore[misc]
    assert mechanism == provider.mechanism
    assert not any(made)
    await worker.destroy()


async def test_a_torn_or_foreign_file_does_not_stop_recovery(
    provider: ProcessProvider, state_dir: str
) -> None:
    os.makedirs(os.path.join(state_dir, "slots"))
    for name, text in (("0", '{"mech'), ("1", ""), ("2", "null")):
        Path(state_dir, "slots", name).write_text(text)
    assert await provider.recover() == []
    assert not os.path.exists(os.path.join(state_dir, "slots", "1"))


async def test_after_a_reboot_only_the_attempt_is_told(
    provider: ProcessProvider, state_dir: str, mechanism: str
) -> None:
    """Its pids belong to others now."""
    bystander = subprocess.Popen(["sleep", "1000"])  # noqa: ASYNC220
    try:
        os.makedirs(os.path.join(state_dir, "slots"))
        record = slot_module.SlotRecord(mechanism, {}, "another-boot", attempt=KEY)
        who = slot_module.processes.identity(bystander.pid)
        record.launcher = who._replace(boot_id="another-boot")
        Path(state_dir, "slots", "0").write_bytes(slot_module._encode(record))
        assert await provider.recover() == [KEY]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_what_will_not_end_is_told_and_tried_again(
    provider: ProcessProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    await worker.start(bash("sleep 1000"), RecordingSink())
    assert worker._slot is not None
    stubborn = worker._slot.record.launcher
    assert stubborn is not None
    with monkeypatch.context() as patch:
        patch.setattr(slot_module, "raze_once", lambda record, tree: [stubborn])
        patch.setattr(slot_module, "PATIENCE_S", 0.0)
        with pytest.raises(WorkerUnavailable, match=f"{stubborn.pid}"):
            await worker.destroy()
        with pytest.raises(WorkerUnavailable):
            await provider.close()
    with pytest.raises(WorkerUnavailable):
        await worker.start(bash("true"), RecordingSink())
    async with asyncio.timeout(60):
        while provider._workers:
            provider._look_after()
            await asyncio.sleep(0.001)
    await worker.destroy()
    assert own_groups(provider) != [] or provider.mechanism in ("pid-namespace", "subreaper")


async def works(provider: ProcessProvider) -> None:
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    await worker.start(bash("echo fine"), sink)
    assert (await sink.until_ended()).ok
    assert bytes(sink.data) == b"fine\n"
    await worker.destroy()


async def test_a_worker_that_has_no_room_for_its_file_waits_and_is_not_forgotten(
    provider: ProcessProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await works(provider)
    write = slot_module.SlotFile.write
    refusals = [OSError(errno.ENOSPC, "no room")] * 2

    def refuse(self: slot_module.SlotFile, record: slot_module.SlotRecord) -> None:
        if refusals:
            raise refusals.pop()
        write(self, record)

    monkeypatch.setattr(slot_module.SlotFile, "write", refuse)
    monkeypatch.setattr(provider_module, "ROOM_S", 0.0)
    await works(provider)
    assert not refusals
    while provider._workers:
        provider._look_after()
        await asyncio.sleep(0.001)


async def test_who_had_a_worker_is_told_of_until_he_is_forgotten(
    provider: ProcessProvider, state_dir: str, mechanism: str
) -> None:
    """However often whoever asks dies before he has written that down."""
    one, other = (AttemptKey(KEY.run, job, 1) for job in range(2))
    async with incarnation(state_dir, mechanism) as agent:
        for attempt, script in (
            (one, "true"),
            (other, "sleep 1000 & true"),
        ):  # the second leaves no clean slot
            worker = await agent.create(WorkerSpec(attempt, "/"))
            sink = RecordingSink()
            await worker.start(bash(script), sink)
            await sink.until_ended()
            await worker.destroy()
    for _ in range(2):
        async with incarnation(state_dir, mechanism) as agent:
            assert sorted(await agent.recover()) == [one, other]
            assert await agent.recover() == []
    async with incarnation(state_dir, mechanism) as agent:
        assert sorted(await agent.recover()) == [one, other]
        agent.forget(one)
        agent.forget(AttemptKey(KEY.run, 7, 1))  # never had one
    assert other in await provider.recover()
    provider.forget(one)
    provider.forget(other)
    assert os.listdir(os.path.join(state_dir, "slots")) == [os.path.basename(provider._free[0].path)]


async def test_whose_slot_others_have_by_now_is_told_of_too(
    provider: ProcessProvider, state_dir: str, mechanism: str
) -> None:
    keys = [AttemptKey(KEY.run, job, 1) for job in range(3)]
    async with incarnation(state_dir, mechanism) as agent:
        for attempt in keys:
            worker = await agent.create(WorkerSpec(attempt, "/"))
            await worker.destroy()
            if attempt == keys[0]:
                agent.forget(attempt)
    assert sorted(await provider.recover()) == keys[1:]
    for attempt in keys[1:]:
        provider.forget(attempt)


async def test_who_is_forgotten_before_his_worker_is_gone(provider: ProcessProvider) -> None:
    worker = await provider.create(WorkerSpec(KEY, "/"))
    provider.forget(KEY)
    worker.abandon()
    while provider._workers:
        provider._look_after()
        await asyncio.sleep(0.001)
    assert not provider._named


@asynccontextmanager
async def incarnation(state_dir: str, mechanism: str) -> AsyncIterator[ProcessProvider]:
    """A provider that leaves what was not forgotten to the next one."""
    agent = ProcessProvider(state_dir, mechanism=mechanism)
    yield agent
    await agent.close()


async def test_nothing_is_forgotten_when_its_clean_up_fails(
    provider: ProcessProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the kernel answers: it is tried again until it is done."""
    worker = await provider.create(WorkerSpec(KEY, "/"))
    worker.abandon()
    with monkeypatch.context() as patch:
        patch.setattr(slot_module, "raze_once", full)
        provider._look_after()
    assert provider._care is not None
    while provider._workers:
        provider._look_after()
        await asyncio.sleep(0.001)


async def test_a_caller_that_was_cancelled_leaves_no_worker(provider: ProcessProvider) -> None:
    creating = asyncio.ensure_future(provider.create(WorkerSpec(KEY, "/")))
    await asyncio.sleep(0)
    creating.cancel()
    try:
        await (await creating).destroy()  # it was ready at once
    except asyncio.CancelledError:
        pass
    while provider._workers:
        provider._look_after()
        await asyncio.sleep(0.001)


def full(*anything: object) -> None:
    raise OSError(errno.ENOSPC, "no room")
