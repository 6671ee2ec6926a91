"""Which job runs where, and when.

    orchestrator ─ enqueue, withdraw ─► actor.py ─► match(queue, capacity, policy) ─► assignments ─► orchestrator
                 ◄─ reserve_at_once: a place, where nobody waits ─┘

    queue.py    lanes: priority, tenant, class      rounds.py      one round: groups ─► lane ─► best node ─► placement
    nodes.py    agents as columns and bit sets      room.py        what a round takes from them, and where
    policy.py   what operators set                  tenants.py     shares, quotas, guarantees
    fit.py      why an agent does not take a job    preemption.py  who has to go for whom
    custom.py   an operator's own policy, guarded   evictions.py   those who were told to, and the room kept

`match` is a pure function: it can be simulated, tested against an oracle, and replaced by an accelerated twin. The actor
makes the same round in short turns, so that the loop is never held. It owns queue and capacity; both are rebuilt from the runs
when an engine starts, and what tenants used before is carried over. A custom policy that fails is set aside, and the round made
anew without it.
"""
