"""The invariants. They are checked from what is stored and from what really ran, with a model of their own of each run.

Names of invariants are what planted bugs are found by: see INVARIANTS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from blake3 import blake3

from relevo.domain import events as e
from relevo.domain.errors import InvalidTransition, RelevoError
from relevo.domain.evolution import evolve
from relevo.domain.ids import AttemptKey
from relevo.domain.run import ACTIVE, Node, Run
from relevo.domain.states import JOB_ENDS, JobStatus, RunStatus
from relevo.domain.stored import Stored
from relevo.orchestrator.plans import GROUP_STREAM
from relevo.orchestrator.run_actor import run_row
from relevo.protocol import messages as m
from tests.simulation.groups import GroupChecker
from tests.simulation.preempting import PreemptionChecker
from tests.simulation.truth import Start

if TYPE_CHECKING:
    from tests.simulation.world import World

INVARIANTS: Final = (
    "real end",  # no green, and no other end, without a real end record, its log durable
    "one live attempt",
    "terminal",  # terminal states never change
    "cancelled",  # what is cancelled never revives
    "log persists",  # an acknowledged log byte is durable, and the log is what was printed
    "loss noticed",
    "finishes",
    "slot freed",
    "once",  # a step marked idempotent: false is never silently run again
    "replay",  # stored events give the actors' states
    "fenced",  # nothing is stored under a lower epoch
    "accepted",  # an accepted run is there
    "only stored",  # only what is stored has effects
    "one of a group",  # of a concurrency group's members one at most is at work
    "group order",  # it goes to who waits longest
    "preempted",  # only who lets himself is ended for others, for more important ones, and not again and again
    "outputs",  # a job sees the outputs of the attempts that were accepted
    "defect",  # no exception that nobody expects
)

#: Within this time of being gone, and of the last disturbance, an attempt must be known to be lost.
NOTICED_S: Final = 45.0


class Violation(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, message: str) -> None:
        assert invariant in INVARIANTS
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant


class Checker:
    """Watches one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.runs: dict[str, Run] = {}
        self.groups = GroupChecker(world)
        self.preemptions = PreemptionChecker(world)
        self._sequence = 0
        self._cancelling: set[tuple[str, int]] = set()
        self._released: set[tuple[str, int]] = set()  #: held jobs that a user wants to be tried again
        self._given_up: set[AttemptKey] = set()  #: attempts that were lost, or made room
        self._logs: dict[AttemptKey, bytes] = {}  #: of attempts that ended
        self._ended_jobs: dict[tuple[str, int], str] = {}
        self._ended_runs: set[str] = set()
        self._assigned: dict[AttemptKey, int] = {}  #: by attempt, the epoch that stored it
        self._gone: dict[AttemptKey, float] = {}  #: since when

    # --- events -----------------------------------------------------------------------------------------------------

    def committed(self, stored: Stored, process: Any) -> None:
        """An append is durable; its engine does not know yet."""
        world = self._world
        if stored.epoch != world.engine.epoch:
            world.violated(
                "fenced", f"epoch {stored.epoch} stores {stored.sequence} in epoch {world.engine.epoch}"
            )
        if stored.sequence != self._sequence + 1:
            world.violated("replay", f"the store goes from {self._sequence} to {stored.sequence}")
        self._sequence = stored.sequence
        if stored.stream.startswith(GROUP_STREAM):
            self.groups.committed(stored)
            return
        run = self.runs.setdefault(stored.stream, Run())
        if stored.version != run.version + 1:
            world.violated("replay", f"{stored.stream} goes from {run.version} to {stored.version}")
        for event in e.decode(stored.events):
            world.note("event", stored.stream, type(event).__name__, *_told(event))
            self._check(stored, run, event)
            self.groups.run_event(run, stored.stream, event)
            self.preemptions.event(stored.stream, run, event)
            try:
                evolve(run, event)
            except InvalidTransition as error:
                world.violated("terminal", str(error))
        run.version = stored.version
        self._compare(stored.stream, run, process)
        self.check_losses()

    def _check(self, stored: Stored, run: Run, event: e.Event) -> None:
        world = self._world
        stream = stored.stream
        if stream in self._ended_runs and not isinstance(event, e.SummaryDelivered):
            world.violated("terminal", f"run {stream} has ended, and then {event}")
        job = getattr(event, "job", None)
        if isinstance(event, e.JobsQueued):
            for index in event.jobs:
                self._not_over(stream, index, event)
                if (stream, index) in self._cancelling:
                    world.violated("cancelled", f"{stream}/{index}: {event}")
        elif job is not None:
            self._not_over(stream, job, event)
            if (stream, job) in self._cancelling and isinstance(event, e.JobRetrying | e.AttemptAssigned):
                world.violated("cancelled", f"{stream}/{job}: {event}")
        if isinstance(event, e.AttemptAssigned):
            self._attempt_assigned(stored, run, event)
        elif isinstance(event, e.AttemptEnded):
            self._attempt_ended(stored, run, event)
        elif isinstance(event, e.JobCancelling):
            self._cancelling.add((stream, event.job))
        elif isinstance(event, e.JobRetrying):
            if not event.preempted:
                world.saw("lost, retried" if event.lost else "failed, retried")
            if event.delay_s:
                world.saw("retried after a delay")
        elif isinstance(event, e.JobHeld):
            world.saw("held")
        elif isinstance(event, e.CallCancelling):
            world.saw("a call is cancelled")
        elif isinstance(event, e.CallReturned):
            world.saw("a call gives something back")
        elif isinstance(event, e.JobEnded):
            self._job_ended(stream, run, event)
        elif isinstance(event, e.RunReleased):
            world.saw("released")
        elif isinstance(event, e.RunEnded):
            self._ended_runs.add(stream)
            world.saw(f"run {event.status}")

    def _not_over(self, stream: str, job: int, event: e.Event) -> None:
        ended = self._ended_jobs.get((stream, job))
        if ended is not None:
            self._world.violated("terminal", f"job {stream}/{job} is {ended}, and then {event}")

    def _attempt_assigned(self, stored: Stored, run: Run, event: e.AttemptAssigned) -> None:
        key = AttemptKey(stored.stream, event.job, event.number)
        self._assigned[key] = stored.epoch
        if run.status is RunStatus.CANCELLING:
            self._world.saw("a spared job starts after a cancel")
            if not self._spared(run, event.job):
                self._world.violated("cancelled", f"{key} is assigned in a run that is being cancelled")
        elif run.jobs[event.job].node.cancelled:
            self._world.saw("a spared job starts in a call that is being cancelled")
            if not self._spared(run, event.job):
                self._world.violated("cancelled", f"{key} is assigned in a call that is being cancelled")
        for other in self._world.truth.running:
            if other.run == key.run and other.job == key.job:
                self._world.violated("one live attempt", f"{key} is assigned while {other} runs")

    def _spared(self, run: Run, job: int) -> bool:
        spec = self._world.spec_of(run.id, run.jobs[job].node)
        return spec is not None and spec.if_ == "always()"

    def _attempt_ended(self, stored: Stored, run: Run, event: e.AttemptEnded) -> None:
        world = self._world
        key = AttemptKey(stored.stream, event.job, event.number)
        self._gone.pop(key, None)
        if event.result == "lost":
            self._given_up.add(key)
            if key in world.truth.running:
                world.violated("one live attempt", f"{key} counts as lost and runs")
            return
        if event.result == "preempted":
            self._given_up.add(key)
        if self._assigned.get(key) != stored.epoch:
            world.saw("adopted")
        logs = list(world.truth.logs(key, event))
        if not logs:
            world.violated(
                "real end", f"{key} ended as {event.result}; its agent said {world.truth.reported.get(key)}"
            )
            return
        if event.result == "succeeded":
            self._really_succeeded(run, key)
        if not world.living_agents() & set(world.truth.reported[key]):
            world.saw("handed in")
        digest = event.log_digest
        pieces = next((one for one in logs if not digest or blake3(b"".join(one)).digest() == digest), None)
        if pieces is None or event.log_size != sum(map(len, pieces)):
            world.violated(
                "log persists", f"{key} ended with {event.log_size} bytes; printed were {logs}"[:500]
            )
            return
        self._logs[key] = b"".join(pieces)
        self._durable(key, pieces)

    def _really_succeeded(self, run: Run, key: AttemptKey) -> None:
        spec = self._world.spec_of(run.id, run.jobs[key.job].node)
        starts = {start.step: start for start in self._world.truth.starts.get(key, ())}
        for index, step in enumerate(spec.spec.steps if spec is not None else ()):
            start = starts.get(index)
            bad = start is None or start.exit is None or start.exit.code != 0
            if bad and step.continue_on_error is not True:
                self._world.violated("real end", f"{key} is green, and its step {index} is {start}")

    def _durable(self, key: AttemptKey, pieces: list[bytes]) -> None:
        """All bytes must be in the durable part of the run's segments, in whatever frames."""
        held = self._world.durable_log(key.run)
        masked = self._world.client.plans[
            key.run
        ].secrets  # then the last letters of a piece may wait for the next
        for piece in pieces:
            if len(piece) <= 1_000 and piece not in held and not (masked and piece[-1:] != b"\n"):
                self._world.violated("log persists", f"{key}: {piece[:60]!r} is not durable")

    def _job_ended(self, stream: str, run: Run, event: e.JobEnded) -> None:
        world = self._world
        job = run.jobs[event.job]
        self._ended_jobs[stream, event.job] = event.status
        if event.infrastructure:
            world.saw("lost thrice, failed")
        if job.status is JobStatus.CANCELLING:
            if event.status in ("succeeded", "failed"):
                world.saw("a result overtakes a cancel")
            elif event.status == "timed-out":
                world.saw("a time-out overtakes a cancel")
        if event.status == "timed-out":
            world.saw("timed out")
        if job.nodes:
            left = [inner.path for inner in job.nodes if not inner.ended]
            if left:
                world.violated("real end", f"{stream}/{event.job} is over before {left} that it calls")
        elif event.status == "succeeded" and not job.number:
            world.violated("real end", f"{stream}/{event.job} is green without an attempt")

    def _compare(self, stream: str, run: Run, process: Any) -> None:
        actor = process.engine.orchestrator.live.get(stream)
        if actor is not None and picture(actor.run) != picture(run):
            self._world.violated(
                "replay", f"{stream}\n  actor:  {picture(actor.run)}\n  stored: {picture(run)}"
            )

    # --- what really runs -------------------------------------------------------------------------------------------

    def process_started(self, start: Start) -> None:
        """A process is about to run."""
        key = start.key
        world = self._world
        run = self.runs.get(key.run)
        if key not in self._assigned or run is None:
            world.violated("only stored", f"{key} runs, and is not stored as assigned")
            return
        for known in world.truth.starts.get(key, ()):
            # a machine that lost its power may know nothing of what it had begun, but for intents
            if known.step == start.step and (start.once or known.by is start.by):
                world.violated("once", f"step {start.step} of {key} runs twice in one attempt")
        self.groups.process_started(key, list(world.truth.running))
        if not start.once:
            return
        for number in range(1, key.number):
            earlier = AttemptKey(key.run, key.job, number)
            if (
                earlier in self._given_up
                and (key.run, key.job) not in self._released
                and any(known.step == start.step for known in world.truth.starts.get(earlier, ()))
            ):
                world.violated("once", f"step {start.step} of {earlier} began, and runs again in {key}")

    def released(self, run: str, job: int) -> None:
        """A user said that a held job shall run again."""
        self._released.add((run, job))

    def needs_seen(self, key: AttemptKey, node: str, word: str) -> None:
        """A job's expression for another's output came to this."""
        run = self.runs[key.run]
        seen = _needed(run, run.jobs[key.job].node, node)
        expected = self._told(key.run, seen)
        if expected:
            self._world.saw("outputs of a need")
            if seen.inner:
                self._world.saw("outputs of a call")
            elif seen.call is not run.jobs[key.job].node.call:
                self._world.saw("outputs as an input of a call")
            if word != expected:
                self._world.violated("outputs", f"{key} sees {word!r} of {node}, {expected!r} was told")

    def _told(self, run: str, node: Node) -> str:
        """The word that a node, or the workflow that it calls, gives back; "" when it need not."""
        spec = self._world.spec_of(run, node)
        if spec is None or not any(job.status is JobStatus.SUCCEEDED for job in node.jobs):
            return ""
        if spec.called is not None:
            giving = spec.called.on["workflow_call"]["outputs"]["word"]["value"].split(".")[1]
            inner = (one for job in node.jobs for one in job.nodes if job.status is JobStatus.SUCCEEDED)
            return "".join({self._told(run, one) for one in inner if one.decl.id == giving})
        return "".join(step.run or "" for step in spec.spec.steps if step.id == "told").rpartition("::")[2]

    def acknowledged(self, records: m.Records) -> None:
        """Records are acknowledged to their agent, which forgets them: what they said must be durable."""
        for record in records.records:
            run = self.runs.get(record.run)
            job = run.jobs[record.job] if run is not None and record.job < len(run.jobs) else None
            if run is None or job is None or job.number != record.number or job.status not in ACTIVE:
                continue
            if isinstance(record, m.LogBytes):
                if bytes(record.data[:1_000]) not in self._world.durable_log(record.run):
                    self._world.violated(
                        "log persists", f"{record.data[:60]!r} is acknowledged, and not durable"
                    )
            elif isinstance(record, m.AttemptFinished):
                self._world.violated(
                    "real end", f"the end of {record.run}/{record.job} is acknowledged, not stored"
                )

    # --- time -------------------------------------------------------------------------------------------------------

    def gone(self, keys: list[AttemptKey]) -> None:
        """What ran these attempts is gone."""
        for key in keys:
            self._gone.setdefault(key, self._world.now)

    def check_losses(self) -> None:
        """Every loss is noticed in bounded time, counted from when nothing disturbs any more."""
        now = self._world.now
        for key, since in list(self._gone.items()):
            run = self.runs.get(key.run)
            job = run.jobs[key.job] if run is not None else None
            if job is None or job.number != key.number or job.status in JOB_ENDS:
                del self._gone[key]
            elif now - max(since, self._world.calm_since) > NOTICED_S:
                self._world.violated(
                    "loss noticed", f"{key} is gone for {now - since:.0f} s, and counts as {job.attempt}"
                )

    # --- the end ----------------------------------------------------------------------------------------------------

    def check_end(self) -> None:
        """All is over: nothing is left anywhere, and everything is told."""
        world = self._world
        for run in world.client.accepted:
            if run not in self.runs:
                world.violated("accepted", f"run {run} was accepted, and is not stored")
        engine = world.engine.engine
        scheduler = engine.orchestrator.scheduler
        if scheduler.reserved or len(scheduler.queue):
            world.violated("slot freed", f"reserved {scheduler.reserved}, queued {len(scheduler.queue)}")
        for id, agent in engine.manager.agents.items():
            if agent.placed:
                world.violated("slot freed", f"agent {id} is thought to have {sorted(agent.placed)}")
            capacity = scheduler.capacity.agents.get(id)
            if capacity is None or capacity.free != capacity.places:
                world.violated("slot freed", f"agent {id} has {capacity and capacity.free} free places")
        for process in world.agents:
            agent = process.agent
            if agent._live or agent._tasks or agent._free != agent._config.slots:
                world.violated(
                    "slot freed", f"agent {process.id} has {list(agent._live)}, {agent._free} free"
                )
            if process.machine.workers:
                world.violated("slot freed", f"workers are left: {sorted(process.machine.workers)}")
        for stream, run in self.runs.items():
            stored = world.store_disk.streams[stream]
            again = Run()
            for one in stored:
                for event in e.decode(one.events):
                    evolve(again, event)
            if picture(again) != picture(run) or world.store_disk.rows[stream] != run_row(run):
                world.violated("replay", f"run {stream} is not what its events and its row say")

    def check_logs(self) -> None:
        """What the log store gives back is what was printed."""
        world = self._world
        logs = world.engine.engine.parts.logs
        for key, printed in self._logs.items():
            try:
                held = b"".join(bytes(frame.data) for frame in logs.frames(key))
            except RelevoError as error:
                world.violated("log persists", str(error))
                continue
            if held != printed:
                world.violated(
                    "log persists", f"the log of {key} has {len(held)} bytes, {len(printed)} were printed"
                )


def _needed(run: Run, node: Node, id: str) -> Node:
    """What a job's script calls `id`: a node of its own file, or one that the calling job hands the output of over."""
    siblings = node.call.nodes if node.call is not None else [one for one in run.nodes if one.call is None]
    found = next((one for one in siblings if one.decl.id == id), None)
    if found is not None:
        return found
    assert node.call is not None
    return _needed(run, node.call.node, id)


def picture(run: Run) -> tuple[Any, ...]:
    """All that a run is, comparable."""
    return (
        run.status,
        run.delivered,
        run.waiting,
        run.nodes_left,
        run.busy,
        run.held,
        tuple(run.ready),
        tuple(run.returning),
        [
            (
                job.status,
                job.number,
                job.attempt,
                job.agent,
                job.record,
                job.lost,
                job.retries,
                job.preempted,
                job.message,
                job.delayed,
                job.cancelling,
                job.nodes_left,
                job.asked,
                job.granted,
                job.why,
            )
            for job in run.jobs
        ],
        [
            (node.path, node.waiting, node.expanded, node.left, node.active, node.failures, node.outputs)
            for node in run.nodes
        ],
    )


def _told(event: Any) -> tuple[Any, ...]:
    return tuple(
        value
        for name in (
            "job",
            "jobs",
            "number",
            "agent",
            "step",
            "result",
            "status",
            "reason",
            "outcome",
            "delay_s",
        )
        if isinstance(value := getattr(event, name, None), int | str | float) or (name == "jobs" and value)
    )
