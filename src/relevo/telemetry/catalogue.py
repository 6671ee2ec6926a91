"""The one list of all metrics and of all public events. docs/telemetry.md is written from it.

Names, kinds, units and help of the metrics stand where they are counted (core/measured.py), and a test sees to it that neither
side has what the other lacks. Here stands what a reader needs besides: what the values of the labels are, and what a figure is
good for.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Metric(Struct, frozen=True):
    """What to know of a metric besides its help."""

    advice: str = ""  #: what to make of it; "": the help says all
    labels: dict[str, str] = {}  #: name → which values there are: a bounded set


class Event(Struct, frozen=True):
    """A kind of public event, as `relevo run --json` prints it."""

    meaning: str
    fields: dict[str, str] = {}  #: besides those of all events


_AGENT: Final = {"agent": "names of agents; `local` is this machine's"}
_ROUTE: Final = "templates of paths, such as `/api/v1/runs/{run}`; `page` for files of the page, `other` for what was refused before"
_GENERATION: Final = {"generation": "`0`, `1`, `2`: how long objects have lived"}

#: By topic, in the order in which people ask.
METRICS: Final[dict[str, dict[str, Metric]]] = {
    "Runs and attempts": {
        "relevo_runs_accepted": Metric(),
        "relevo_runs_ended": Metric(labels={"status": "`succeeded`, `failed`, `cancelled`"}),
        "relevo_runs_live": Metric(),
        "relevo_runs_reloaded": Metric("Grows when the store refuses: see engine.log."),
        "relevo_attempts_ended": Metric(
            "`lost` is the infrastructure's fault, not a job's; `preempted` is a policy's.",
            {"result": "`succeeded`, `failed`, `cancelled`, `timed-out`, `lost`, `preempted`"},
        ),
        "relevo_attempt_start_seconds": Metric(
            "What the way to the agent and the making of a worker cost. Attempts that an earlier engine assigned are not in it."
        ),
        "relevo_attempt_run_seconds": Metric("Attempts that an earlier engine began are not in it."),
    },
    "Queue": {
        "relevo_queue_jobs": Metric(),
        "relevo_queue_oldest_seconds": Metric("The one to alert on: nobody should wait for so long."),
        "relevo_queue_wait_seconds": Metric("Counted from when this engine queued it."),
        "relevo_placements": Metric(),
        "relevo_preemptions": Metric("More than a few a minute: who is preemptible gets little done."),
        "relevo_match_seconds": Metric(),
    },
    "Store and bus": {
        "relevo_store_commits": Metric(),
        "relevo_store_appends": Metric(),
        "relevo_store_commit_seconds": Metric("What the disk costs: nothing is told before it is durable."),
        "relevo_store_commit_appends": Metric(
            "Near 1 there is little to do; at 1,024 the disk holds all up."
        ),
        "relevo_bus_followers": Metric(),
        "relevo_bus_lagged": Metric("Nothing is lost by it; it costs the store a read."),
    },
    "Agents and logs": {
        "relevo_agents_ready": Metric("0 for long: jobs wait for an agent."),
        "relevo_agent_records": Metric(),
        "relevo_agent_rewinds": Metric("Grows when logs or the store cannot be written."),
        "relevo_agent_spool_bytes": Metric("Grows while the engine does not keep up.", _AGENT),
        "relevo_agent_held": Metric(labels=_AGENT),
        "relevo_log_bytes": Metric(),
        "relevo_log_followers": Metric(),
    },
    "What is told": {
        "relevo_traces": Metric(
            "Dropped ones were refused by the receiver, or were too many while it was away.",
            {"outcome": "`sent`, `dropped`"},
        ),
        "relevo_trace_spans": Metric(),
        "relevo_traces_waiting": Metric("At most 10,000."),
        "relevo_engine_log_lines": Metric(
            labels={"level": "`debug`, `info`, `warning`, `error`, `critical`"}
        ),
        "relevo_engine_log_left_out": Metric(),
    },
    "Server": {
        "relevo_http_requests": Metric(
            labels={
                "method": "`GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`, `OPTIONS`, `other`",
                "route": _ROUTE,
                "status": "`1xx` to `5xx`; `0xx`: the client left before it was answered",
            }
        ),
        "relevo_http_request_seconds": Metric("Streams and files count until they begin.", {"route": _ROUTE}),
        "relevo_http_connections": Metric(),
        "relevo_http_followers": Metric(),
    },
    "Actors": {
        "relevo_actors": Metric("One for each live run, and a few."),
        "relevo_actors_ready": Metric(),
        "relevo_actor_messages": Metric(),
        "relevo_actor_mailbox_messages": Metric(
            "Read by one reader: each reading begins anew.",
            {"kind": "kinds of actors: `RunActor`, `Scheduler`, `Outbox`, …"},
        ),
        "relevo_actor_restarts": Metric("Each is a defect: see engine.log."),
        "relevo_actor_turns": Metric(),
        "relevo_actor_busy_seconds": Metric("Its rate is the share of one processor that actors take."),
        "relevo_actor_longest_step_seconds": Metric("Everything else waited for so long."),
        "relevo_dead_letters": Metric(
            labels={
                "reason": "`dead` (the actor was gone), `unhandled` (it went first), `poison` (handling it raised)"
            }
        ),
    },
    "Process": {
        "relevo_loop_lag_seconds": Metric(
            "Above 0.05 for long: the machine is too small, or something blocks."
        ),
        "relevo_loop_lag_worst_seconds": Metric("Read by one reader: each reading begins anew."),
        "relevo_gc_pause_seconds": Metric("Its count is the number of collections.", _GENERATION),
        "relevo_gc_collected_objects": Metric(labels=_GENERATION),
        "process_resident_memory_bytes": Metric(),
        "process_cpu_seconds": Metric(),
        "process_start_time_seconds": Metric(),
        "process_open_fds": Metric(),
    },
}

#: In every public event.
ALWAYS: Final = {
    "v": "version of the form: 1; keys are only ever added",
    "event": "the kind",
    "run": "the run's id",
    "seq": "the sequence in the store: what a follower resumes after",
    "at": "Unix milliseconds, by the clock of whoever saw it: agent or engine",
}

_JOB: Final = {"job": "the job's id: `test (3.11, linux)`, `build / test` in a call"}
_ATTEMPT: Final = {**_JOB, "attempt": "its number, from 1"}
_STEP: Final = {**_ATTEMPT, "step": "index in the job, from 0; -1 where there is none", "name": "as shown"}

EVENTS: Final[dict[str, Event]] = {
    "run.accepted": Event(
        "The run exists, durably.",
        {
            "workflow": "its name, or its file",
            "title": "`run-name`, or what started it",
            "trigger": "`push`, `workflow_dispatch`, …",
            "retried_from": "the run that this one retries, or null",
            "run_attempt": "1, and more in retries",
            "traceparent": "the span that it was submitted within; left out when there is none, as the next two",
            "tracestate": "what goes with it",
            "retried_traceparent": "that of the run that this one retries",
        },
    ),
    "run.waiting": Event(
        "Nothing of it begins before it has its concurrency group.", {"group": "the group's name"}
    ),
    "run.granted": Event("It has its concurrency group."),
    "run.started": Event("The first attempt was assigned."),
    "run.cancelling": Event("Somebody cancelled it; once more when it is forced.", {"reason": "who, or why"}),
    "run.held": Event("All that can go on has ended; held jobs ask."),
    "run.released": Event("A held job was decided: it goes on."),
    "run.finished": Event("Final.", {"status": "`succeeded`, `failed`, `cancelled`"}),
    "node.added": Event(
        "The run will have this job, or, with a matrix, its legs; which, is known once those that it needs have ended.",
        {"node": "the job of the file; `build / test` in a call", "needs": "those that it needs"},
    ),
    "job.added": Event(
        "The run has this job.",
        {
            **_JOB,
            "name": "as shown",
            "node": "the job of the file",
            "needs": "jobs of the file that it needs",
            "labels": "of `runs-on`",
            "calls": "the workflow that it calls; left out when it has steps",
        },
    ),
    "job.calling": Event("From now on the jobs that it calls stand for it.", _JOB),
    "job.waiting": Event("It waits for a concurrency group.", {**_JOB, "group": "the group's name"}),
    "job.queued": Event("It waits for a place.", _JOB),
    "job.assigned": Event("An agent is to run it.", {**_ATTEMPT, "agent": "which one"}),
    "job.starting": Event("Its worker is being made, and that takes time.", _ATTEMPT),
    "job.running": Event("Its worker is there.", _ATTEMPT),
    "job.preempting": Event(
        "It makes room for another job: its attempt is being ended, and then it waits again.",
        {**_ATTEMPT, "for_run": "the run of the other job", "for_job": "its name"},
    ),
    "job.cancelling": Event("It is being ended.", {**_JOB, "reason": "why"}),
    "job.held": Event(
        "It was lost where running it again may do harm: somebody must decide.",
        {**_ATTEMPT, "message": "what happened"},
    ),
    "job.retrying": Event(
        "Another attempt will be made.",
        {
            **_ATTEMPT,
            "message": "why",
            "delay_s": "seconds until it is queued; 0: at once",
            "preempted": "true: it made room for another job, and nothing is counted against it",
        },
    ),
    "job.finished": Event(
        "Final.",
        {
            **_JOB,
            "status": "`succeeded`, `failed`, `cancelled`, `timed-out`, `skipped`",
            "attempts": "how many it had",
            "message": "what is wrong with it, or empty",
            "outputs": "of the job, by name",
            "infrastructure": "true: it failed because what it ran on was lost again and again",
        },
    ),
    "step.started": Event("A step began.", _STEP),
    "step.finished": Event(
        "A step ended, or was skipped.",
        {
            **_STEP,
            "outcome": "`success`, `failure`, `cancelled`, `skipped`, before continue-on-error",
            "conclusion": "the same after it",
            "exit_code": "null when it has none",
            "message": "what is wrong, or empty",
            "summary": "Markdown of GITHUB_STEP_SUMMARY",
        },
    ),
    "attempt.finished": Event(
        "An attempt ended, and every byte of its log is durable (unless it was lost).",
        {
            **_ATTEMPT,
            "result": "`succeeded`, `failed`, `cancelled`, `timed-out`, `lost`, `preempted`",
            "message": "what is wrong, or empty",
            "log_size": "bytes of its log",
        },
    ),
    "annotation": Event(
        "A step said something about the code.",
        {
            **_ATTEMPT,
            "step": "index in the job",
            "level": "`error`, `warning`, `notice`",
            "message": "what",
            "title": "or empty",
            "file": "or empty",
            "line": "0: none",
            "column": "0: none",
        },
    ),
    "artifact": Event(
        "An attempt saved an artifact; it becomes the run's when the attempt is accepted.",
        {**_ATTEMPT, "name": "of the artifact", "size": "bytes", "digest": "BLAKE3"},
    ),
    "warning": Event("Something that the user should know, and that changes nothing.", {"message": "what"}),
}
