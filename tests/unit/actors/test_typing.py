"""What the type checker refuses: a wrong message, a wrong request, a wrong reply."""

from __future__ import annotations

from pathlib import Path

import pytest

PROGRAM = '''
from msgspec import Struct
from relevo.actors import Actor, ActorRef, ActorSystem, Request, TaskActor

class Add(Struct, frozen=True):
    amount: int

class Total(Request[int], frozen=True):
    """Asks for the sum."""

class Name(Request[str], frozen=True):
    """Not taken by the counter."""

class Counter(Actor[Add | Total]):
    def receive(self, messages: list[Add | Total]) -> None:
        for message in self.context.each(messages):
            if isinstance(message, Total):
                message.reply(1)
                message.reply("one")  # E: arg-type

class Adder(TaskActor[Add]):
    async def receive(self, messages: list[Add]) -> None: ...

async def main(system: ActorSystem, adder: ActorRef[Add]) -> None:
    counter = system.spawn(Counter, "counter")
    made = system.spawn(lambda: Counter(), "made")
    given: ActorRef[Add] = system.spawn(Adder(), "given")
    counter.tell(Add(1))
    counter.tell("add")  # E: arg-type
    counter.tell_many([Add(1), Total()])
    counter.tell_many([Name()])  # E: list-item
    await counter.send(Add(1))
    await made.send(1)  # E: arg-type
    total: int = await counter.ask(Total())
    wrong: str = await counter.ask(Total())  # E: arg-type
    await counter.ask(Name())  # E: arg-type
    await counter.ask(Add(1))  # E: arg-type
    await adder.ask(Total())  # E: arg-type
    narrower: ActorRef[Add] = counter
    wider: ActorRef[Add | Total] = adder  # E: assignment
    reveal_type(await made.ask(Total()))  # N: int
'''


def test_the_checker_refuses_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = True\nmypy_path = src\nfollow_imports = silent\n")
    out, err, _ = api.run(
        [
            "--config-file",
            str(config),
            "--cache-dir",
            str(tmp_path / "cache"),
            "--no-error-summary",
            str(file),
        ]
    )
    assert err == ""
    found: dict[int, str] = {}
    for line in out.splitlines():
        if "program.py" in line and "[" in line:
            found[int(line.split(":")[1])] = line.rsplit("[", 1)[1].rstrip("]")
        elif "Revealed type" in line:
            found[int(line.split(":")[1])] = line.split('"')[1].removeprefix("builtins.")
    expected = {
        number: line.split("# ")[1][3:]
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if "  # E: " in line or "  # N: " in line
    }
    assert found == expected, out
