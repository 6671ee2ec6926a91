"""Everything that an engine's process counts, in one table. `relevo metrics` prints it as OpenMetrics text.

Labels are bounded sets (a status, an agent's name): ids of runs and jobs belong into traces, not here.
"""

from __future__ import annotations

from typing import Final

from relevo.core.metrics import Registry

REGISTRY: Final = Registry()

_counter = REGISTRY.counter
_gauge = REGISTRY.gauge
_histogram = REGISTRY.histogram

COMMITS: Final = _counter("relevo_store_commits", "Commits of the event store, each made durable.").labels()
APPENDS: Final = _counter("relevo_store_appends", "Decisions stored; many share a commit.").labels()
COMMIT_SECONDS: Final = _histogram(
    "relevo_store_commit_seconds", "How long a commit takes, fsync included."
).labels()

RUNS_ACCEPTED: Final = _counter("relevo_runs_accepted", "Runs accepted.").labels()
RUNS_ENDED: Final = _counter("relevo_runs_ended", "Runs that ended, by status.", ("status",))
RUNS_LIVE: Final = _gauge("relevo_runs_live", "Runs that have not ended.").labels()
RUNS_RELOADED: Final = _counter(
    "relevo_runs_reloaded", "Runs read again because what was held of them was void."
).labels()
ATTEMPTS_ENDED: Final = _counter("relevo_attempts_ended", "Attempts that ended, by result.", ("result",))

QUEUE_JOBS: Final = _gauge("relevo_queue_jobs", "Jobs that wait for a place.").labels()
PLACEMENTS: Final = _counter("relevo_placements", "Jobs that the scheduler placed.").labels()
MATCH_SECONDS: Final = _histogram("relevo_match_seconds", "How long one round of matching takes.").labels()

AGENTS_READY: Final = _gauge("relevo_agents_ready", "Agents past the start barrier.").labels()
RECORDS: Final = _counter("relevo_agent_records", "Records taken from agents.").labels()
REWINDS: Final = _counter("relevo_agent_rewinds", "Times that an agent was asked to send again.").labels()
SPOOL_BYTES: Final = _gauge(
    "relevo_agent_spool_bytes", "Bytes that an agent keeps until they are acknowledged.", ("agent",)
)
AGENT_HELD: Final = _gauge(
    "relevo_agent_held",
    "1 while an agent holds its steps back: its disk is full, or too much waits in its spool.",
    ("agent",),
)

HTTP_REQUESTS: Final = _counter(
    "relevo_http_requests", "Requests answered, by route and class of status.", ("method", "route", "status")
)
HTTP_SECONDS: Final = _histogram(
    "relevo_http_request_seconds", "How long requests take until their answer begins, by route.", ("route",)
)
HTTP_CONNECTIONS: Final = _gauge("relevo_http_connections", "Open connections.").labels()
HTTP_FOLLOWERS: Final = _gauge("relevo_http_followers", "Open streams.").labels()

LOG_BYTES: Final = _counter("relevo_log_bytes", "Log bytes taken.").labels()
LOOP_LAG: Final = _gauge(
    "relevo_loop_lag_seconds", "How late the event loop was, at worst, since the last reading."
).labels()
