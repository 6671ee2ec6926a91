"""Runs attempts on a host, alone once it has them: workspace, steps, spool, hand-in.

    session ◄──► engine          session.py   dial, hello, resend, acknowledge
       │ assignments    ▲ records
       ▼                │
    agent.py: slots ─► attempt.py (one attempt: steps, env, outputs, cancel) ─► providers (worker, processes)
                        └─► spool.py (what was produced, until the engine has it durably)

An absent engine stops nothing. Never imports scheduler, workers, store or server.
"""
