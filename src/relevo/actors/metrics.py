"""What a system of actors tells of itself."""

from __future__ import annotations

from relevo.actors.system import ActorSystem
from relevo.core.metrics import Registry


def publish(system: ActorSystem, registry: Registry) -> None:
    """Let `registry` hold the system's figures, taken when they are read: counting costs the actors nothing more."""
    live = registry.gauge("relevo_actors", "Actors that are not stopped.").labels()
    ready = registry.gauge("relevo_actors_ready", "Actors that have something to do.").labels()
    handled = registry.counter("relevo_actor_messages", "Messages handed to actors.").labels()
    restarts = registry.counter("relevo_actor_restarts", "Instances made anew after a failure.").labels()
    turns = registry.counter("relevo_actor_turns", "Turns of the dispatcher.").labels()
    busy = registry.counter("relevo_actor_busy_seconds", "Time in actors' steps.", unit="seconds").labels()
    longest = registry.gauge(
        "relevo_actor_longest_step_seconds", "The longest step since the start.", unit="seconds"
    ).labels()
    dead = registry.counter("relevo_dead_letters", "Messages that nobody handled.", ["reason"])

    def read() -> None:
        dispatcher = system.dispatcher
        live.set(system.count)
        ready.set(len(dispatcher.ready))
        handled.value = dispatcher.handled
        restarts.value = system.restarts
        turns.value = dispatcher.turns
        busy.value = dispatcher.busy_s
        longest.set(dispatcher.longest_s)
        for reason, count in system.dead_letters.counts.items():
            dead.labels(reason).value = count

    registry.before_reading(read)
