"""What a run, a job, an attempt and a step are, and which changes of them are legal.

Pure: no I/O, no clock, no randomness, no expressions. `decide(state, command) -> events` and
`evolve(state, event) -> state`; the transition tables are data (`tables.py`).
"""
