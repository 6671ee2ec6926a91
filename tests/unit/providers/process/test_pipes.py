from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from relevo.providers.contract import Command, Exit, WorkerSpec
from relevo.providers.process import ProcessProvider
from relevo.providers.process.slot import MARK
from relevo.testing.contracts.providers import RecordingSink, attempt_key

from .conftest import PATH, bash


@pytest.fixture
def mechanism() -> None:
    """The best of this machine: pipes do not care."""


async def ran(provider: ProcessProvider, command: Command) -> RecordingSink:
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    await worker.start(command, sink)
    await sink.until_ended()
    await worker.destroy()
    return sink


async def until_there(path: Path) -> None:
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.002)


async def test_stdout_and_stderr_are_one_pipe_in_order(provider: ProcessProvider) -> None:
    sink = await ran(provider, bash("for i in 1 2 3; do echo out $i; echo err $i >&2; done"))
    assert bytes(sink.data) == b"out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"


async def test_any_bytes_come_as_they_were(provider: ProcessProvider) -> None:
    sink = await ran(provider, bash(r"printf '\000\377\r\n\033[1m\300\n'"))
    assert bytes(sink.data) == b"\0\xff\r\n\x1b[1m\xc0\n"


async def test_stdin_is_empty_and_no_descriptor_leaks(provider: ProcessProvider) -> None:
    leak, other = os.pipe()
    os.set_inheritable(leak, True)
    try:
        sink = await ran(provider, bash("cat; echo /proc/self/fd/*"))
        words = bytes(sink.data).split()
        # 0, 1, 2 and that with which the shell lists the folder
        assert words == [b"/proc/self/fd/0", b"/proc/self/fd/1", b"/proc/self/fd/2", b"/proc/self/fd/3"]
    finally:
        os.close(leak)
        os.close(other)


async def test_the_environment_is_what_was_given_and_the_mark(
    provider: ProcessProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_AGENT", "yes")
    key = attempt_key()
    worker = await provider.create(WorkerSpec(key, "/"))
    sink = RecordingSink()
    env = {"A": "1", "B": "two words\nand lines", "Ü": "é\udcff"}
    await worker.start(Command(["/usr/bin/env", "-0"], env, "/"), sink)
    await sink.until_ended()
    told = dict(item.partition(b"=")[::2] for item in bytes(sink.data).split(b"\0") if item)
    assert told == {
        b"A": b"1",
        b"B": b"two words\nand lines",
        "Ü".encode(): b"\xc3\xa9\xff",
        MARK.encode(): str(key).encode(),
    }
    await worker.destroy()


async def test_signals_are_as_in_a_fresh_shell(provider: ProcessProvider) -> None:
    sink = await ran(provider, bash("grep -E 'SigBlk|SigIgn' /proc/self/status"))
    glibc_own = 0b11 << 31  # 32 and 33, which no program can use; posix_spawn leaves them ignored
    assert [int(line.split()[1], 16) & ~glibc_own for line in bytes(sink.data).splitlines()] == [0, 0]


async def test_a_step_leads_its_own_session(provider: ProcessProvider) -> None:
    sink = await ran(
        provider,
        bash("read -r pid comm state ppid pgrp session rest </proc/self/stat; echo $$ $pgrp $session"),
    )
    assert len(set(bytes(sink.data).split())) == 1


async def test_the_program_is_found_by_the_path_of_the_step(
    provider: ProcessProvider, tmp_path: Path
) -> None:
    tool = tmp_path / "my-tool"
    tool.write_text("#!/bin/sh\necho mine; pwd\n")
    tool.chmod(0o755)
    sink = await ran(provider, Command(["my-tool"], {"PATH": f"/nowhere:{tmp_path}:{PATH}"}, str(tmp_path)))
    assert bytes(sink.data) == f"mine\n{tmp_path}\n".encode()


@pytest.mark.parametrize(
    ("argv", "error", "named"),
    [
        (["/"], PermissionError, "/"),
        (["./plain"], PermissionError, "plain"),
        (["plain"], PermissionError, "plain"),
        (["./no-format"], PermissionError, "no-format"),
        (["./no-interpreter"], FileNotFoundError, "no-interpreter"),
        (["nul", "a\0b"], PermissionError, "nul"),
        (["true", "x" * 3_000_000], PermissionError, "true"),
    ],
)
async def test_what_cannot_be_run_is_the_fault_of_the_step(
    provider: ProcessProvider, tmp_path: Path, argv: list[str], error: type[OSError], named: str
) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    for name, text in (("no-format", "nothing"), ("no-interpreter", "#!/not/there\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    with pytest.raises(error, match=named):
        await worker.start(Command(argv, {"PATH": f"{PATH}:{tmp_path}"}, str(tmp_path)), RecordingSink())
    sink = RecordingSink()
    await worker.start(bash("echo on"), sink)
    assert (await sink.until_ended()).ok
    await worker.destroy()


async def test_a_missing_folder_is_named(provider: ProcessProvider) -> None:
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    with pytest.raises(FileNotFoundError, match="/no/such/folder"):
        await worker.start(Command(["true"], {"PATH": PATH}, "/no/such/folder"), RecordingSink())
    await worker.destroy()


async def test_a_large_environment_goes_through(provider: ProcessProvider) -> None:
    env = {f"NAME_{number}": "v" * 10_000 for number in range(100)}
    sink = await ran(provider, bash("echo ${#NAME_99}; env | wc -c", **env))
    length, total = bytes(sink.data).split()
    assert length == b"10000"
    assert int(total) > 1_000_000


async def test_a_background_child_that_holds_the_pipe_delays_nothing(
    provider: ProcessProvider, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    await worker.start(bash(f"(read -r word <{go}; echo late $word) & echo early; exit 7"), sink)
    assert await sink.until_ended() == Exit(7)
    assert bytes(sink.data) == b"early\n"
    await asyncio.to_thread(go.write_text, "words\n")
    await sink.until_output(b"late words\n")
    assert bytes(sink.after_end) == b"late words\n"
    await worker.destroy()


async def test_a_background_child_may_go_on_printing_during_the_next_step(
    provider: ProcessProvider, tmp_path: Path
) -> None:
    go, done = tmp_path / "go", tmp_path / "done"
    os.mkfifo(go)
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    first, second = RecordingSink(), RecordingSink()
    chatter = f"(read -r word <{go}; yes chatter | head -c 300000 && touch {done}) & echo one"
    await worker.start(bash(chatter), first)
    await first.until_ended()
    process = await worker.start(bash("echo two; sleep 1000"), second)
    await second.until_output(b"two")
    await asyncio.to_thread(go.write_text, "now\n")
    await until_there(done)  # neither blocked by a full pipe nor ended by a broken one
    process.signal(15)
    await second.until_ended()
    assert (bytes(first.data), bytes(first.after_end)) == (b"one\n", b"")
    assert (bytes(second.data), bytes(second.after_end)) == (b"two\n", b"")
    await worker.destroy()


async def test_back_pressure_blocks_the_step(provider: ProcessProvider, tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    process = await worker.start(
        bash(
            f"read -r; echo first; touch {small}; head -c 5000000 /dev/zero; touch {large}".replace(
                "read -r; ", ""
            )
        ),
        sink,
    )
    process.pause()
    before = len(sink.data)
    await until_there(small)
    pid = await blocked_writer(tmp_path)
    assert pid
    assert not large.exists()
    assert len(sink.data) == before
    process.resume()
    assert (await sink.until_ended()).ok
    assert len(sink.data) == 5_000_006
    assert large.exists()
    await worker.destroy()


async def blocked_writer(tmp_path: Path) -> int:
    """The pid of the `head` that waits for room in its pipe."""
    async with asyncio.timeout(60):
        while True:
            for name in os.listdir("/proc"):
                try:
                    what = Path(f"/proc/{name}/comm").read_text() if name.isdigit() else ""
                    if what == "head\n" and "pipe" in Path(f"/proc/{name}/wchan").read_text():
                        return int(name)
                except OSError:
                    continue
            await asyncio.sleep(0.002)


async def test_an_exit_is_held_back_while_paused(provider: ProcessProvider, tmp_path: Path) -> None:
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    process = await worker.start(bash("echo ready; sleep 1000"), sink)
    await sink.until_output(b"ready")
    process.pause()
    process.signal(15)
    async with asyncio.timeout(60):
        while not process.exited:
            await asyncio.sleep(0)
    assert not sink.exits
    process.resume()
    assert [exit.signal for exit in sink.exits] == [15]
    await worker.destroy()


async def test_destroy_tells_a_paused_sink_all_that_is_left(provider: ProcessProvider) -> None:
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    process = await worker.start(bash("echo ready; sleep 1000"), sink)
    process.pause()
    async with asyncio.timeout(60):
        while not (pipe_holds(process._pipe) or sink.data):
            await asyncio.sleep(0.001)
    await worker.destroy()
    assert bytes(sink.data) == b"ready\n"
    assert [exit.signal for exit in sink.exits] == [9]


def pipe_holds(fd: int) -> bool:
    import fcntl
    import termios

    return fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4) != b"\0" * 4


async def test_a_cancelled_start_leaves_nothing(provider: ProcessProvider) -> None:
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    starting = asyncio.ensure_future(worker.start(bash("sleep 1000"), RecordingSink()))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await worker.end(5.0)
    sink = RecordingSink()
    await worker.start(bash("echo on"), sink)
    assert (await sink.until_ended()).ok
    await worker.destroy()


async def test_what_is_left_in_the_pipe_comes_before_the_end(
    provider: ProcessProvider, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    process = await worker.start(bash(f"read -r word <{go}; echo last $word; exit 3"), sink)
    process.pause()
    await asyncio.to_thread(go.write_text, "words\n")
    async with asyncio.timeout(60):
        while not process.exited:
            await asyncio.sleep(0)
    assert not sink.data
    process.resume()
    assert (bytes(sink.data), bytes(sink.after_end), sink.exits) == (b"last words\n", b"", [Exit(3)])
    await worker.destroy()
