"""One trial: a run whose engine and agent are killed and stopped at random, resumed until it ends, then judged."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any, Final, NamedTuple

from relevo.runtime import processes
from tests.faults.witness import Job, Verdict, judge, some_jobs, workflow
from tests.faults.world import Command, World, kill

TRIAL_S: Final = 90.0
#: A job that loses its agent more often than this fails, as documented: so many kills of it are the most.
AGENT_KILLS: Final = 2


class Strike(NamedTuple):
    """What is done to whom, and when: `delay_s` after a command began, or after it has said `lines` lines."""

    action: str  #: kill or stop
    victim: str  #: engine, agent, both
    lines: int | None
    delay_s: float
    held_s: float  #: how long it stays stopped


class Outcome(NamedTuple):
    """What a trial came to."""

    seed: int
    kills: int  #: processes that were killed or stopped
    verdict: Verdict
    report: str

    @property
    def fine(self) -> bool:
        return self.verdict.fine


def strikes(rnd: random.Random) -> list[Strike]:
    """Two to five strikes; agents are killed twice at most."""
    found = []
    left = AGENT_KILLS
    for _ in range(rnd.choice((2, 3, 3, 4, 5))):
        action = "kill" if rnd.random() < 0.8 else "stop"
        victim = rnd.choice(("engine", "engine", "agent", "agent", "both"))
        if action == "kill" and victim != "engine":
            left -= 1
            if left < 0:
                victim = "engine"
        lines = rnd.randrange(1, 30) if rnd.random() < 0.6 else None
        delay_s = rnd.uniform(0.0, 0.08) if lines is not None else rnd.uniform(0.05, 1.2)
        found.append(Strike(action, victim, lines, delay_s, rnd.uniform(0.02, 0.6)))
    return found


class Trial:
    """See the module."""

    def __init__(
        self, seed: int, world: World, *, jobs: list[Job] | None = None, failpoints: str = ""
    ) -> None:
        """`jobs` and `failpoints` instead of random jobs and strikes."""
        self.seed = seed
        self.world = world
        self.rnd = random.Random(seed)
        self.failpoints = failpoints
        self.jobs = jobs or some_jobs(self.rnd, once=self.rnd.random() < 0.3)
        self.strikes = [] if jobs else strikes(self.rnd)
        self.kills = 0
        self.accepted = False
        self.retried: set[str] = set()
        self.deadline = time.monotonic() + TRIAL_S

    def run(self) -> Outcome:
        world = self.world
        # Groups let fewer things run at a time: every other trial goes without.
        name = world.workflow(workflow(self.jobs, world, grouped=bool(self.seed % 2)))
        command = world.start("run", name, "--json", failpoints=self.failpoints)
        while True:
            ended = self._strike_during(command)
            if not ended:
                command = world.start("resume", "--json")
                continue
            result = command.result
            if result is not None and result["status"] == "held":
                command = self._decide(result)
            elif result is not None:
                return self._judged(command, result)
            elif self.accepted:
                return self._outcome(
                    Verdict([f"nothing is known of the run any more: {command.text}"], [], [], [], [])
                )
            elif command.argv[0] == "run":
                return self._outcome(Verdict([f"the run was not accepted: {command.text}"], [], [], [], []))
            else:
                # It was killed before it was accepted, and nobody was told otherwise.
                assert not world.witness.exists()
                command = world.start("run", name, "--json")

    def _strike_during(self, command: Command) -> bool:
        """Do the next strikes while the command runs; whether it ended by itself."""
        while self.strikes:
            strike = self.strikes[0]
            if not self._wait_for(strike, command):
                break
            self.strikes.pop(0)
            self._strike(strike, command)
            if not command.running:
                self._note(command)
                # What it said before it died may have been the result: then nothing is left to be told.
                return command.result is not None
        code = self._end(command)
        self._note(command)
        return code >= 0 or command.result is not None

    def _end(self, command: Command) -> int:
        """Its exit code, negative when a signal ended it. What a failpoint stopped goes on as soon as it is seen."""
        while (code := command.wait(0.05 if self.failpoints else TRIAL_S)) is None:
            assert time.monotonic() < self.deadline, "it hangs"
            if "=stop" in self.failpoints:
                self._let_go_on(command)
        return code

    def _let_go_on(self, command: Command) -> None:
        for pid in (command.pid, *(who.pid for who in self.world.agents())):
            try:
                if processes.stat(pid).state == "T":
                    self.kills += 1
                    processes.kill(processes.identity(pid), signal.SIGCONT)
            except ProcessLookupError:
                continue

    def _note(self, command: Command) -> None:
        self.accepted = self.accepted or any(line.get("event") == "run.accepted" for line in command.told())

    def _wait_for(self, strike: Strike, command: Command) -> bool:
        """Whether its moment came while the command was running."""
        if strike.lines is not None and not command.until_lines(strike.lines, TRIAL_S):
            return False
        return command.wait(strike.delay_s) is None

    def _strike(self, strike: Strike, command: Command) -> None:
        victims = self.world.agents() if strike.victim != "engine" else []
        if strike.victim != "agent":
            try:
                victims.append(processes.identity(command.pid))
            except ProcessLookupError:
                pass
        if self.rnd.random() < 0.5:
            victims.reverse()
        self.world.tell(f"{strike.action} {strike.victim} {[who.pid for who in victims]}")
        self.kills += len(victims)
        if strike.action == "kill":
            for who in victims:
                if who.pid == command.pid:
                    command.kill()
                else:
                    kill(who)
            return
        for who in victims:
            processes.kill(who, signal.SIGSTOP)
        command.wait(strike.held_s)
        for who in victims:
            processes.kill(who, signal.SIGCONT)

    def _decide(self, result: dict[str, Any]) -> Command:
        """A job asks: run it again, as a person would who has looked."""
        self.strikes.clear()
        job = next(name for name, told in result["jobs"].items() if told["status"] == "held")
        assert job not in self.retried, "it asks again although nothing was killed"
        self.retried.add(job)
        self.world.tell(f"retry {job}")
        return self.world.start("retry", result["run"], "--job", job, "--json")

    def _judged(self, command: Command, result: dict[str, Any]) -> Outcome:
        verdict = judge(self.world, self.jobs, result, command.told(), retried=frozenset(self.retried))
        verdict.orphans.extend(self.world.until_clean(sockets=command.wait() == 0))
        return self._outcome(verdict)

    def _outcome(self, verdict: Verdict) -> Outcome:
        return Outcome(self.seed, self.kills, verdict, "" if verdict.fine else self.world.report())


def try_seed(seed: int) -> Outcome:
    """Run the trial of a seed; a hang counts as a loss."""
    with World() as world:
        trial = Trial(seed, world)
        try:
            return trial.run()
        except AssertionError as error:
            return Outcome(seed, trial.kills, Verdict([str(error)], [], [], [], []), world.report())


if __name__ == "__main__":
    import sys

    for one in range(
        int(sys.argv[1]), int(sys.argv[1]) + int(sys.argv[2]) if len(sys.argv) > 2 else int(sys.argv[1]) + 1
    ):
        began = time.monotonic()
        outcome = try_seed(one)
        print(
            one,
            "fine" if outcome.fine else "BAD",
            outcome.kills,
            f"{time.monotonic() - began:.1f}s",
            flush=True,
        )
        if not outcome.fine:
            print({kind: found for kind, found in outcome.verdict._asdict().items() if found})
            if os.environ.get("REPORT"):
                print(outcome.report, flush=True)
