"""What a run, a job, an attempt and a step are, and which changes of them are legal.

Pure: no I/O, no clock, no randomness, no expressions. `decide(state, command) -> events` (`machine.py`) and
`evolve(state, event) -> state` (`evolution.py`), of what `run.py` holds; the transition tables are data (`tables.py`).
Likewise what a concurrency group is (`groups.py`), and when waiting for one would never end (`deadlocks.py`).
"""
