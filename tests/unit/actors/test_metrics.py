"""The figures of a system are there, and right, when they are read."""

from __future__ import annotations

from relevo.actors import ActorSystem
from relevo.actors.metrics import publish
from relevo.core.metrics import Registry
from relevo.core.openmetrics import render

from .kit import Boom, Echo, Light, Say, play


def test_what_is_told() -> None:
    async def main(system: ActorSystem) -> None:
        registry = Registry()
        publish(system, registry)
        ref = system.spawn(lambda: Light([]), "a")
        ref.tell_many([Say("x"), Boom(), Say("y")])
        await ref.ask(Echo("z"))
        ref.stop()
        await ref.gone()
        ref.tell(Say("late"))
        text = render(registry)
        assert "relevo_actors 1\n" in text
        assert "relevo_actors_ready 0\n" in text
        assert "relevo_actor_messages_total 3\n" in text
        assert "relevo_actor_restarts_total 1\n" in text
        assert 'relevo_dead_letters_total{reason="dead"} 1\n' in text
        assert 'relevo_dead_letters_total{reason="poison"} 1\n' in text
        assert f"relevo_actor_turns_total {system.dispatcher.turns}\n" in text

    play(main)
