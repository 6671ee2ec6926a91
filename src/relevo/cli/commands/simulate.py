"""relevo simulate"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relevo.scheduler.policy import Policy
    from relevo.scheduler.simulation.machines import Machines
    from relevo.scheduler.simulation.workload import Workload


#: The policy of the home.
HOME = "home"


@click.command("simulate", short_help="Try a load on other machines or by other policies.")
@click.argument("trace", required=False, metavar="[TRACE]", type=click.Path())
@click.option("--from-home", is_flag=True, help="Take the jobs that RELEVO_HOME has recorded.")
@click.option("--last", metavar="TIME", help="How far back, with --from-home. Default: 7d.")
@click.option("--jobs", type=int, metavar="N", help="How many jobs to make. Default: 10,000.")
@click.option("--span", metavar="TIME", help="In what time they come. Default: 7d.")
@click.option(
    "--arrivals",
    type=click.Choice(["poisson", "diurnal", "bursts"]),
    help="Evenly at random; by day and night; half of them many at a time. Default: diurnal.",
)
@click.option(
    "--durations",
    type=click.Choice(["constant", "exponential", "lognormal", "pareto"]),
    help="How long jobs take; pareto has the heaviest tail. Default: lognormal.",
)
@click.option(
    "--load",
    type=float,
    metavar="PART",
    help="Jobs so long that they use such a part of all slots. Default: 0.8.",
)
@click.option("--mean", metavar="TIME", help="How long jobs take on the average, instead of --load.")
@click.option("--tenants", type=int, metavar="N", help="Among how many tenants jobs are. Default: 1.")
@click.option(
    "--noisy", type=float, metavar="PART", help="Such a part of all jobs is one tenant's more, 400 at a time."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="The same seed gives the same result."
)
@click.option(
    "--agents",
    multiple=True,
    metavar="N[:KEY=VALUE,…]",
    help="N agents: slots, cpus, memory, labels and taints (A+B), pool, zone, load (what others keep busy of it), window (jobs "
    "taken beyond slots). Several times for several kinds. Default: 4:slots=8.",
)
@click.option(
    "--startup",
    metavar="TIME",
    default="0s",
    show_default=True,
    help="What making a worker takes, for each job.",
)
@click.option(
    "--failures", metavar="TIME", help="Agents are lost after so long on the average. Default: never."
)
@click.option("--repair", metavar="TIME", help="A lost agent is back after so long. Default: 10m.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME|FILE",
    help="Several times to compare. The engine's: relevo, arrival, deadline, fair, ageing, reserve, preempt, pack, spread; beside them: "
    "fifo, and sjf and srpt, which know the future; a scheduling.toml by its path; home: that of RELEVO_HOME. Default: home, "
    "where it has one, relevo, fair, fifo, srpt.",
)
@click.option(
    "--share",
    "shares",
    multiple=True,
    metavar="TENANT:KEY=N,…",
    help="What a tenant gets: its weight, and a quota of jobs, cpu, memory, … For the engine's policies.",
)
@click.option("--skip-unmatched", is_flag=True, help="Leave out jobs that fit no agent.")
@click.option(
    "--export",
    metavar="FILE",
    type=click.Path(),
    help="Only write the load, as CSV or, named .jsonl, JSON lines.",
)
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(),
    help="Draw the comparison: .svg, or .png (pip install relevo[plot]).",
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def command(**given: Any) -> int:
    """Run a load through relevo's own scheduler in virtual time: which policy, how many machines, how long would jobs wait?

    The load is a trace (CSV or JSON lines), what this home has recorded, or one made from a seed. A week takes seconds.

    \b
    Examples:
      relevo simulate --from-home --last 30d --agents 2:slots=4
      relevo simulate --load 0.9 --durations pareto --policy relevo --policy fifo
      relevo simulate jobs.csv --agents 8:slots=4,memory=16Gi --plot waits.svg
      relevo simulate --from-home --export jobs.jsonl
    """
    from relevo.cli import simulate_view
    from relevo.scheduler.simulation import machines as m
    from relevo.scheduler.simulation import policies as p
    from relevo.scheduler.simulation import trace
    from relevo.scheduler.simulation.references import least_mean_response_s

    machines = _machines(given)
    policies, own = _policies(given["policies"])
    p.require_known(policies, own)
    shares = dict(p.parse_share(text) for text in given["shares"])
    plot = given["plot"]
    if plot and not plot.endswith((".svg", ".png")):
        raise click.UsageError(f"--plot {plot}: name it .svg or .png")
    workload = _workload(given, machines)
    if given["export"]:
        trace.write(workload, given["export"])
        from relevo.cli.output import note
        from relevo.cli.text import counted

        note(f"{counted(len(workload), 'job')} written to {given['export']}")
        return 0
    left_out = 0
    if given["skip_unmatched"]:
        workload, left_out = m.only_fitting(workload, machines)
    results = p.compare(policies, workload, machines, given["seed"], shares, simulate_view.progress, own)
    _tell_set_aside(own)
    least_s = least_mean_response_s(workload, machines)
    told = simulate_view.Told(workload, machines, given["seed"], left_out, least_s, results)
    if plot:
        from relevo.scheduler.simulation import plot as drawing

        svg = drawing.figure(results, machines, simulate_view.heading(told))
        trace.write_text(plot, drawing.as_png(svg) if plot.endswith(".png") else svg)
    if given["as_json"]:
        click.echo(simulate_view.as_json(told))
    else:
        for line in simulate_view.as_text(told):
            click.echo(line)
    return 0


def _policies(asked: Sequence[str]) -> tuple[list[str], dict[str, Policy]]:
    """Names in order, and what files say by the names that they have there. Raises UserError."""
    from relevo.assembly.scheduling import FILE, policy_at, policy_of
    from relevo.cli import connect
    from relevo.scheduler.simulation.policies import USUAL

    home = policy_of(connect.home()) if HOME in asked or not asked else None
    if home is None and HOME in asked:
        from relevo.domain.errors import UserError

        raise UserError(f"{connect.home()} has no {FILE}", hint="docs/scheduling.md tells what it may say")
    own = {} if home is None else {HOME: home}
    own |= {name: policy_at(name) for name in asked if name.endswith(".toml")}
    return list(dict.fromkeys(asked or (*own, *USUAL))), own


def _tell_set_aside(own: dict[str, Policy]) -> None:
    from relevo.cli.output import note

    for name, policy in own.items():
        if policy.custom is not None and policy.custom.failed:
            note(
                f"{name}: {policy.custom.name} was set aside, and the usual policy decided: {policy.custom.failed}"
            )


def _machines(given: dict[str, Any]) -> Machines:
    from relevo.cli.options import seconds
    from relevo.scheduler.simulation.machines import Machines, agents

    if given["repair"] is not None and given["failures"] is None:
        raise click.UsageError("--repair says nothing without --failures")
    return Machines(
        agents(given["agents"] or ("4:slots=8",)),
        seconds("--startup", given["startup"]),
        None if given["failures"] is None else seconds("--failures", given["failures"], above=0.0),
        seconds("--repair", given["repair"] or "10m"),
    )


#: Options that say what load to make.
_RECIPE = ("jobs", "span", "arrivals", "durations", "load", "mean", "tenants", "noisy")


def _workload(given: dict[str, Any], machines: Machines) -> Workload:
    from relevo.scheduler.simulation import trace

    made = [f"--{key}" for key in _RECIPE if given[key] is not None]
    sources = [
        *([given["trace"]] if given["trace"] else []),
        *(["--from-home"] if given["from_home"] else []),
        *made[:1],
    ]
    if len(sources) > 1:
        raise click.UsageError(f"{sources[0]} and {sources[1]} are two loads: give one of them")
    if given["last"] is not None and not given["from_home"]:
        raise click.UsageError("--last goes with --from-home")
    if given["trace"]:
        return trace.read(given["trace"])
    if given["from_home"]:
        return _recorded(given["last"] or "7d")
    return _generated(given, machines)


def _generated(given: dict[str, Any], machines: Machines) -> Workload:
    from relevo.cli.options import seconds
    from relevo.scheduler.simulation import generate

    if given["load"] is not None and given["mean"] is not None:
        raise click.UsageError("--load and --mean both say how long jobs take: give one of them")
    asked = {
        key: given[key]
        for key in ("jobs", "arrivals", "durations", "tenants", "noisy", "seed")
        if given[key] is not None
    }
    recipe = generate.Recipe(**asked)
    if given["span"] is not None:
        recipe = recipe._replace(span_s=seconds("--span", given["span"], above=0.0))
    generate.check(recipe)
    if given["mean"] is not None:
        mean_s = seconds("--mean", given["mean"], above=0.0)
    else:
        mean_s = generate.mean_for(0.8 if given["load"] is None else given["load"], recipe, machines)
    return generate.generate(recipe._replace(mean_s=mean_s))


def _recorded(last: str) -> Workload:
    import time

    from relevo.cli import connect
    from relevo.cli.options import seconds
    from relevo.cli.output import note
    from relevo.cli.text import counted

    since_ms = time.time_ns() // 1_000_000 - int(seconds("--last", last) * 1000)
    found: list[Workload] = []

    async def main() -> int:
        from relevo.assembly.recording import record

        workload, unreadable = await record(connect.home(), since_ms)
        if unreadable:
            note(f"left out: {counted(unreadable, 'run')} that cannot be read (relevo db check)")
        found.append(workload)
        return 0

    connect.run(main)
    return found[0]
