"""The engine's side of agents: their sessions, who runs what where, and what is done when one is gone.

    agent ══► link.py: one connection; records in order, acknowledged when durable
                 │ commands for runs                    ▲ assignments, cancellations
                 ▼                                      │
              manager.py: which agents there are ── adoption, reconciliation, loss ──► the orchestrator (by `Orders`)
              local.py: starts the agent of this machine, and starts it again when it dies

The start barrier: nothing is scheduled on an agent before it has said what it runs, and every record that it had spooled
is stored.
"""
