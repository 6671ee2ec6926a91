"""What engine and agent say to each other, and how it is framed. The same whatever carries it.

agent ── Hello ─────────────────────► engine      an agent dials; its state comes first (start barrier)
agent ◄───────────── Welcome(epoch) ── engine      the highest epoch wins, lower ones are refused
agent ── Beat ───────────────────────► engine      it heard it: a Hello alone may come from an agent long gone
agent ◄── Assign, Cancel, Ack, … ───── engine
agent ── Records(first, [...]) ──────► engine      from the spool, numbered; repeated until acknowledged
"""
