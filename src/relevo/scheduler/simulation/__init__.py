"""What the scheduler would make of a load: the very code that the engine runs, in virtual time.

    trace.py ─┐                         ┌─ engine_policy.py: the engine's Scheduler, its queue, capacity and match
    generate.py ─► Workload ─► world.py ─┤                                                 ─► Outcome ─► results.py, plot.py
    a home ───┘    + Machines  (agents,  └─ references.py: plain FIFO, and one who knows how long each job takes
                                failures)

The world owns time, agents and what runs; a policy only says who goes where. All is deterministic: the same load, machines and
seed give the same outcome, byte for byte. Nothing here is read or written but the files that trace.py and plot.py are given.
"""
