"""Delivery: order, bounds, waiting senders, asks, pauses; for light actors and those with a task alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from relevo.actors import Actor, ActorDead, ActorRef, ActorSystem, MailboxFull, NameTaken, Request
from relevo.testing.virtual_loop import VirtualLoop, run_on

from .kit import Boom, BoomAsk, Broken, Echo, Heavy, Light, Message, Say, Silent, play

Kind = Callable[[list[str]], Light | Heavy]
BOTH = pytest.mark.parametrize("kind", [Light, Heavy])


@BOTH
def test_messages_come_in_order(kind: Kind) -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(kind(journal), "a")
        for text in "abc":
            ref.tell(Say(text))
        ref.tell_many([Say("d"), Say("e")])
        assert await ref.ask(Echo("x")) == "x"
        assert journal == ["started", *"abcde"]

    play(main)


@BOTH
def test_a_burst_is_handed_over_at_once_and_wakes_once(kind: Kind) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.spawn(kind([]), "a")
        await ref.ask(Echo(""))
        turns = system.dispatcher.turns
        for _ in range(100):
            ref.tell(Say("x"))
        await ref.ask(Echo(""))
        assert system.dispatcher.turns - turns <= 2

    play(main)


@BOTH
def test_a_full_mailbox_refuses_and_holds(kind: Kind) -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(lambda: kind(journal), "a", mailbox=2)
        ref.tell(Say("1"))
        ref.tell(Say("2"))
        with pytest.raises(MailboxFull):
            ref.tell(Say("refused"))
        with pytest.raises(MailboxFull):
            ref.tell_many([Say("refused")])
        senders = [asyncio.ensure_future(ref.send(Say(str(n)))) for n in range(3, 9)]
        asking = ref.ask(Echo("asked"))
        cancelled = senders.pop(2)
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(*senders)
        assert await asking == "asked"
        await ref.ask(Echo(""))
        assert journal == ["started", "1", "2", "3", "4", "6", "7", "8"]

    play(main)


@BOTH
def test_who_waits_for_room_is_not_passed_by_others(kind: Kind) -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(kind(journal), "a", mailbox=1)
        ref.tell(Say("first"))
        waiting = [asyncio.ensure_future(ref.send(Say(f"waiting {n}"))) for n in range(3)]
        await asyncio.sleep(0)
        late = asyncio.ensure_future(ref.send(Say("late")))
        await asyncio.gather(*waiting, late)
        await ref.ask(Echo(""))
        assert journal == ["started", "first", "waiting 0", "waiting 1", "waiting 2", "late"]

    play(main)


@BOTH
def test_a_fast_sender_is_held(kind: Kind) -> None:
    """However much is sent, no more than the bound waits."""

    async def main(system: ActorSystem) -> None:
        ref = system.spawn(kind([]), "a", mailbox=10)
        deepest = 0
        for _ in range(1_000):
            await ref.send(Say("x"))
            deepest = max(deepest, system.tree()[1]["mailbox"])
        assert deepest <= 10

    play(main)


def test_a_paused_actor_collects_its_mail() -> None:
    class Pausing(Actor[Say]):
        def __init__(self) -> None:
            self.batches: list[list[str]] = []

        def receive(self, messages: list[Say]) -> None:
            self.batches.append([message.text for message in messages])
            self.context.pause()

    async def main(system: ActorSystem) -> None:
        actor = Pausing()
        ref = system.spawn(actor, "a", mailbox=3)
        ref.tell(Say("1"))
        await asyncio.sleep(1)
        for text in "234":
            ref.tell(Say(text))
        with pytest.raises(MailboxFull):
            ref.tell(Say("5"))
        await asyncio.sleep(1)
        assert actor.batches == [["1"]]
        actor.context.resume()
        await asyncio.sleep(1)
        assert actor.batches == [["1"], ["2", "3", "4"]]
        actor.context.resume()
        ref.tell(Say("6"))
        await asyncio.sleep(1)
        assert actor.batches[2:] == [["6"]]

    play(main)


def test_an_answer_may_come_later() -> None:
    class Slow(Actor[Echo]):
        def receive(self, messages: list[Echo]) -> None:
            for message in messages:
                self.context.later(5.0, message.reply, message.text)

    async def main(system: ActorSystem) -> None:
        ref = system.spawn(Slow(), "a")
        assert await asyncio.gather(*(ref.ask(Echo(text)) for text in "abc")) == ["a", "b", "c"]
        with pytest.raises(TimeoutError, match="/a did not answer within 2"):
            await ref.ask(Echo("x"), timeout_s=2.0)
        assert await ref.ask(Echo("y"), timeout_s=20.0) == "y"

    play(main)


@BOTH
def test_a_request_is_answered_once_and_asked_once(kind: Kind) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.spawn(kind([]), "a")
        request = Echo("x")
        assert not request.answered
        assert await ref.ask(request) == "x"
        assert request.answered
        request.reply("again")
        request.fail(Broken())
        with pytest.raises(ValueError, match="fresh instance"):
            ref.ask(request)
        ref.tell(Echo("told"))  # an answer to what was only told goes nowhere
        await ref.ask(Echo(""))

    play(main)


@BOTH
def test_a_dead_actor_answers_every_ask(kind: Kind) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.spawn(kind([]), "a", mailbox=1)
        pending = ref.ask(Silent())
        await asyncio.sleep(1)
        in_mailbox, waiting = ref.ask(Silent()), ref.ask(Silent())
        ref.stop()
        for asked in (pending, in_mailbox, waiting):
            with pytest.raises(ActorDead, match="/a "):
                await asked
        with pytest.raises(ActorDead):
            await ref.ask(Echo("x"))
        with pytest.raises(ActorDead):
            await ref.send(Say("x"))
        ref.tell(Say("lost"))
        ref.tell_many([Say("lost"), Say("lost")])
        assert not ref.alive
        counts = system.dead_letters.counts
        assert counts == {"unhandled": 2, "dead": 5}

    play(main)


def test_a_sender_that_waits_learns_that_the_actor_stopped() -> None:
    class Stuck(Actor[Say]):
        def started(self) -> None:
            self.context.pause()

    async def main(system: ActorSystem) -> None:
        ref = system.spawn(Stuck, "a", mailbox=1)
        ref.tell(Say("1"))
        sending = asyncio.ensure_future(ref.send(Say("2")))
        await asyncio.sleep(1)
        assert not sending.done()
        ref.stop()
        with pytest.raises(ActorDead):
            await sending
        assert system.dead_letters.counts == {"unhandled": 2}

    play(main)


@BOTH
def test_a_poison_message_costs_itself_only(kind: Kind) -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(lambda: kind(journal), "a")
        ref.tell_many([Say("1"), Boom(), Say("2")])
        poison = ref.ask(BoomAsk())
        ref.tell(Say("3"))
        with pytest.raises(Broken):
            await poison
        assert await ref.ask(Echo("well")) == "well"
        assert [line for line in journal if line.isdigit()] == ["1", "2", "3"]
        assert [letter.message for letter in system.dead_letters.recent()] == [Boom(), BoomAsk()]
        assert system.tree()[1]["restarts"] == 2

    play(main)


def test_without_each_the_batch_comes_again_one_by_one() -> None:
    class Careless(Actor[Message]):
        def receive(self, messages: list[Message]) -> None:
            batches.append(len(messages))
            for message in messages:
                if isinstance(message, Boom):
                    raise Broken
                if isinstance(message, Echo):
                    message.reply(message.text)
                elif isinstance(message, Say):
                    heard.append(message.text)

    batches: list[int] = []
    heard: list[str] = []

    async def main(system: ActorSystem) -> None:
        ref = system.spawn(Careless, "a")
        answered = ref.ask(Echo("once"))
        ref.tell_many([Say("1"), Boom(), Say("2")])
        assert await answered == "once"
        await ref.ask(Echo(""))
        # What was answered does not come again; what was only told before the poison does.
        assert heard == ["1", "1", "2"]
        assert batches[:4] == [4, 1, 1, 1]
        assert system.dead_letters.counts == {"poison": 1}

    play(main)


@BOTH
def test_mail_sent_before_the_start_and_in_the_back_off_is_kept(kind: Kind) -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(lambda: kind(journal), "a")
        ref.tell(Boom())
        await asyncio.sleep(0.01)
        assert system.tree()[1]["state"] == "starting"
        ref.tell(Say("in the back-off"))
        assert await ref.ask(Echo("x")) == "x"
        assert journal == ["started", "stopped", "started", "in the back-off"]

    play(main)


def test_a_restart_forgets_requests_in_hand_and_says_so() -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.spawn(lambda: Light([]), "a")
        pending = ref.ask(Silent())
        await asyncio.sleep(1)
        ref.tell(Boom())
        behind = ref.ask(Echo("behind"))
        with pytest.raises(ActorDead, match="made anew"):
            await pending
        assert await behind == "behind"

    play(main)


def test_names() -> None:
    async def main(system: ActorSystem) -> None:
        group = system.spawn_group("group")
        ref = group.spawn(Light([]), "run-1")
        assert (group.path, ref.path) == ("/group", "/group/run-1")
        with pytest.raises(NameTaken, match="/group/run-1"):
            group.spawn(Light([]), "run-1")
        ref.stop()
        await ref.gone()
        group.spawn(Light([]), "run-1")
        assert system.spawn(Light([])).path != system.spawn(Light([])).path

    play(main)


def test_a_turn_is_bounded() -> None:
    """Two actors that keep each other busy do not hold the loop."""

    class Ping(Actor[Say]):
        def __init__(self) -> None:
            self.other: list[ActorRef[Say]] = []

        def receive(self, messages: list[Say]) -> None:
            for other in self.other:
                other.tell(messages[0])

    loop = VirtualLoop()

    async def main() -> None:
        system = ActorSystem(loop)
        one, two = Ping(), Ping()
        one.other, two.other = [system.spawn(two, "two")], [system.spawn(one, "one")]
        two.other[0].tell(Say("x"))
        for _ in range(3):
            await asyncio.sleep(0)
        assert system.dispatcher.handled > 10_000
        await system.shutdown()

    run_on(loop, main())


def test_the_order_of_actors_can_be_chosen() -> None:
    async def main(system: ActorSystem) -> list[str]:
        heard: list[str] = []
        refs = [system.spawn(Light(heard), name) for name in "abc"]
        await asyncio.sleep(1)
        heard.clear()
        for ref in refs:
            ref.tell(Say(ref.path))
        await asyncio.sleep(1)
        return [*heard]

    assert play(main) == ["/a", "/b", "/c"]
    assert play(main, order=lambda n: n - 1) == ["/c", "/b", "/a"]


class Loud(Request[int], frozen=True):
    pass


def test_dead_letters_are_logged_within_bounds(caplog: pytest.LogCaptureFixture) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.spawn(Light([]), "a")
        ref.stop()
        await ref.gone()
        for _ in range(1_000):
            ref.tell(Say("lost"))
        assert len([one for one in caplog.records if "dead letter" in one.message]) == 10
        assert system.dead_letters.count == 1_000
        assert len(system.dead_letters.recent()) == 100
        await asyncio.sleep(60)
        ref.tell(Say("lost"))
        assert "(990 more were not logged)" in caplog.records[-1].message

    play(main)
