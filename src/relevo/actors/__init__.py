"""The kernel: objects with mailboxes, stepped on one event loop, watched over by their parents.

    tell / send / ask ─► mailbox (bounded) ─► Dispatcher ─► actor.receive([all that waits])
                                                                  │ raises
    parent.supervision ◄─ judge(failure) ◄────────────────────────┘ ─► restart · stop · escalate

It owns tasks and turns: `create_task` stands here and in `runtime` only. A message is either handled, or waits, or is
counted among the dead letters; every ask is answered. What an actor owns is void after its failure: it must be able to
make it anew from what is stored.
"""

from relevo.actors.actor import Actor, TaskActor
from relevo.actors.context import Context, Timer
from relevo.actors.errors import ActorDead, Escalated, MailboxFull, NameTaken
from relevo.actors.inlet import Inlet
from relevo.actors.messages import DeadLetter, Request, Terminated
from relevo.actors.ref import ActorRef
from relevo.actors.router import Router
from relevo.actors.supervision import Directive, Strategy, Supervision
from relevo.actors.system import ActorSystem, Group

__all__ = [
    "Actor",
    "ActorDead",
    "ActorRef",
    "ActorSystem",
    "Context",
    "DeadLetter",
    "Directive",
    "Escalated",
    "Group",
    "Inlet",
    "MailboxFull",
    "NameTaken",
    "Request",
    "Router",
    "Strategy",
    "Supervision",
    "TaskActor",
    "Terminated",
    "Timer",
]
