"""Which job runs where, and when.

    orchestrator ─ enqueue, withdraw ─► actor.py ─► match(queue, capacity, policy) ─► assignments ─► orchestrator
                 ◄─ reserve_at_once: a place, where nobody waits ─┘

`match` is a pure function: it can be simulated, tested against an oracle, and replaced by an accelerated twin. The actor
owns queue and capacity; both are rebuilt from the runs when an engine starts.
"""
