"""The whole engine in virtual time: real sessions, framing, spools, logs and scheduling over a provider without processes.

    world.py      wires it, and carries the life of its processes
    plans.py      what one seed holds: workflows, what users do, what befalls
    faults.py     what can befall
    truth.py      what really runs: the provider, and its record
    checker.py    the invariants, checked at every committed event and at the end
    sometimes.py  the rare paths that a batch must have reached
    planted.py    bugs put in on purpose, each of which must be found

`python -m tests.simulation SEED` repeats one schedule and prints its trace.
"""
