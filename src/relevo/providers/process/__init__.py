"""Workers that are processes of this machine.

    ProcessProvider ── hands out ──► ProcessWorker ── has, for one attempt ──► Slot ── Launcher ══ socket ══ launcher.py ──► step
                                                                                │ Tree (cgroup v2, v1, PID namespace, subreaper)
                                                                                │ Limits (memory, pids, cpu)
                                                                                └ file in state_dir: registered before it is made

Who is authoritative: the kernel. What is in a slot is read from its control group or from /proc, never from what this process
remembers; a process is known by (boot id, pid, start time), never by its pid alone.

On failure: the agent dies → each launcher sees its socket end, kills its tree and exits; what it could not (it was stopped or killed too)
the next incarnation ends in `recover`, from the files. These name an attempt until its end is written in the agent's spool: one that stood
nowhere would count as never begun, and begin once more. A launcher dies → the step is lost, the worker is razed. Something does not
end → `destroy` says so, and the provider goes on trying.
"""

from __future__ import annotations

from relevo.providers.process.provider import ProcessProvider

__all__ = ["ProcessProvider"]
