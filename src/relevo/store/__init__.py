"""The event store: the only truth. Contract in `contract.py`; adapters beside it.

    actors ── Append ──► writer (one commit for many runs) ──► SQLite
                              └── after the commit, on the loop: done(result) for each

On failure an append's `done` gets the error and nothing of it is stored; the caller forgets its state
and reads it again.
"""
