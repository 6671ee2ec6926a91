"""Everything that an engine's process counts, in one table. `relevo metrics` prints it as OpenMetrics text.

Labels are bounded sets (a status, an agent's name): ids of runs and jobs belong into traces, not here. What the values of a
label are, and what to make of a metric, says `telemetry/catalogue.py`; a test holds the two against each other.
"""

from __future__ import annotations

from typing import Final

from relevo.core.metrics import Registry

REGISTRY: Final = Registry()

_counter = REGISTRY.counter
_gauge = REGISTRY.gauge
_histogram = REGISTRY.histogram

# --- runs and attempts ------------------------------------------------------------------------------------------------

RUNS_ACCEPTED: Final = _counter("relevo_runs_accepted", "Runs accepted.").labels()
RUNS_ENDED: Final = _counter("relevo_runs_ended", "Runs that ended, by status.", ("status",))
RUNS_LIVE: Final = _gauge("relevo_runs_live", "Runs that have not ended.").labels()
RUNS_RELOADED: Final = _counter(
    "relevo_runs_reloaded", "Runs read again because what was held of them was void."
).labels()
ATTEMPTS_ENDED: Final = _counter("relevo_attempts_ended", "Attempts that ended, by result.", ("result",))
ATTEMPT_START_SECONDS: Final = _histogram(
    "relevo_attempt_start_seconds", "From the assignment of an attempt to its worker being there."
).labels()
ATTEMPT_RUN_SECONDS: Final = _histogram(
    "relevo_attempt_run_seconds", "From an attempt's worker being there to the attempt's end."
).labels()

# --- the queue --------------------------------------------------------------------------------------------------------

QUEUE_JOBS: Final = _gauge("relevo_queue_jobs", "Jobs that wait for a place.").labels()
QUEUE_OLDEST_SECONDS: Final = _gauge(
    "relevo_queue_oldest_seconds", "How long the oldest job in the queue has waited.", unit="seconds"
).labels()
QUEUE_WAIT_SECONDS: Final = _histogram(
    "relevo_queue_wait_seconds", "How long a job waited for its place; 0 when there was one at once."
).labels()
PLACEMENTS: Final = _counter("relevo_placements", "Jobs that the scheduler placed.").labels()
PREEMPTIONS: Final = _counter(
    "relevo_preemptions", "Jobs that were told to make room for others, and wait again."
).labels()
MATCH_SECONDS: Final = _histogram(
    "relevo_match_seconds", "How long one turn of matching holds the loop."
).labels()

# --- the store and the bus --------------------------------------------------------------------------------------------

COMMITS: Final = _counter("relevo_store_commits", "Commits of the event store, each made durable.").labels()
APPENDS: Final = _counter("relevo_store_appends", "Decisions stored; many share a commit.").labels()
COMMIT_SECONDS: Final = _histogram(
    "relevo_store_commit_seconds", "How long a commit takes, fsync included."
).labels()
COMMIT_APPENDS: Final = _histogram(
    "relevo_store_commit_appends", "Decisions that share a commit.", unit="appends"
).labels()
BUS_FOLLOWERS: Final = _gauge("relevo_bus_followers", "Who follows stored events live.").labels()
BUS_LAGGED: Final = _counter(
    "relevo_bus_lagged", "Times that a follower read too slowly and had to ask the store for what it missed."
).labels()

# --- agents and logs --------------------------------------------------------------------------------------------------

AGENTS_READY: Final = _gauge("relevo_agents_ready", "Agents past the start barrier.").labels()
RECORDS: Final = _counter("relevo_agent_records", "Records taken from agents.").labels()
REWINDS: Final = _counter("relevo_agent_rewinds", "Times that an agent was asked to send again.").labels()
SPOOL_BYTES: Final = _gauge(
    "relevo_agent_spool_bytes",
    "Bytes that an agent keeps until they are acknowledged.",
    ("agent",),
    unit="bytes",
)
AGENT_HELD: Final = _gauge(
    "relevo_agent_held",
    "1 while an agent holds its steps back: its disk is full, or too much waits in its spool.",
    ("agent",),
)
LOG_BYTES: Final = _counter("relevo_log_bytes", "Log bytes taken.", unit="bytes").labels()
LOG_FOLLOWERS: Final = _gauge("relevo_log_followers", "Who follows the log of an attempt live.").labels()

# --- what is told -----------------------------------------------------------------------------------------------------

TRACES: Final = _counter("relevo_traces", "Traces of ended runs, by what became of them.", ("outcome",))
TRACE_SPANS: Final = _counter("relevo_trace_spans", "Spans that a receiver has taken.").labels()
TRACES_WAITING: Final = _gauge("relevo_traces_waiting", "Traces that wait to be sent.").labels()
DIARY_LINES: Final = _counter("relevo_engine_log_lines", "Records written to engine.log.", ("level",))
DIARY_LINES_LEFT_OUT: Final = _counter(
    "relevo_engine_log_left_out", "Records left out of engine.log: there were too many like them."
).labels()

# --- the server -------------------------------------------------------------------------------------------------------

HTTP_REQUESTS: Final = _counter(
    "relevo_http_requests", "Requests that were answered.", ("method", "route", "status")
)
HTTP_SECONDS: Final = _histogram(
    "relevo_http_request_seconds", "How long requests take until their answer begins.", ("route",)
)
HTTP_CONNECTIONS: Final = _gauge("relevo_http_connections", "Open connections.").labels()
HTTP_FOLLOWERS: Final = _gauge("relevo_http_followers", "Open streams.").labels()

# --- actors -----------------------------------------------------------------------------------------------------------

ACTORS: Final = _gauge("relevo_actors", "Actors that are not stopped.").labels()
ACTORS_READY: Final = _gauge("relevo_actors_ready", "Actors that have something to do.").labels()
ACTOR_MESSAGES: Final = _counter("relevo_actor_messages", "Messages handed to actors.").labels()
ACTOR_MAILBOX: Final = _gauge(
    "relevo_actor_mailbox_messages",
    "The most messages that waited at one actor of a kind since the last reading.",
    ("kind",),
    unit="messages",
)
ACTOR_RESTARTS: Final = _counter("relevo_actor_restarts", "Actors made anew after a failure.").labels()
ACTOR_TURNS: Final = _counter("relevo_actor_turns", "Turns of the dispatcher.").labels()
ACTOR_BUSY_SECONDS: Final = _counter(
    "relevo_actor_busy_seconds", "Time in actors' steps.", unit="seconds"
).labels()
ACTOR_LONGEST_SECONDS: Final = _gauge(
    "relevo_actor_longest_step_seconds", "The longest step since the start.", unit="seconds"
).labels()
DEAD_LETTERS: Final = _counter("relevo_dead_letters", "Messages that nobody handled, by reason.", ("reason",))

# --- the process ------------------------------------------------------------------------------------------------------

LOOP_LAG_SECONDS: Final = _histogram(
    "relevo_loop_lag_seconds", "How late the event loop was, looked at twice a second."
).labels()
LOOP_LAG_WORST_SECONDS: Final = _gauge(
    "relevo_loop_lag_worst_seconds",
    "How late the event loop was, at worst, since the last reading.",
    unit="seconds",
).labels()
GC_PAUSE_SECONDS: Final = _histogram(
    "relevo_gc_pause_seconds", "How long a collection of cyclic garbage held the process.", ("generation",)
)
GC_COLLECTED: Final = _counter(
    "relevo_gc_collected_objects", "Objects that collections freed.", ("generation",), unit="objects"
)
# These four have the names that Prometheus' own clients give them: dashboards look for them.
PROCESS_MEMORY_BYTES: Final = _gauge(
    "process_resident_memory_bytes", "Memory of the engine's process, resident.", unit="bytes"
).labels()
PROCESS_CPU_SECONDS: Final = _counter(
    "process_cpu_seconds", "Processor time of the engine's process.", unit="seconds"
).labels()
PROCESS_START_SECONDS: Final = _gauge(
    "process_start_time_seconds", "When the engine's process started, in Unix seconds.", unit="seconds"
).labels()
PROCESS_OPEN_FDS: Final = _gauge("process_open_fds", "File descriptors that are open.").labels()
