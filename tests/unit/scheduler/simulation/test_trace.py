"""Files of loads: what is read, what is written, and what is told of mistakes."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.domain.errors import UserError
from relevo.scheduler.demand import Demand, Rules
from relevo.scheduler.simulation import trace
from relevo.scheduler.simulation.workload import Job, Workload
from relevo.workflow.label_expressions import parse as parse_labels


def parse(text: str) -> Workload:
    return trace.parse(text.splitlines(keepends=True), "t.csv")


def test_a_csv_with_all_there_is():
    load = parse(
        "submit,duration,job,run,tenant,labels,cpus,memory,priority,needs\n"
        "5,10,build,r1,web,ubuntu-latest GPU,2,4Gi,3,\n"
        "\n"
        '5.5,1m,"test, all",r1,web,,500m,,,build\n'
        "3,0,x,r2,,,,,,\n"
    )
    assert load.jobs == (
        Job("x", "r2", 0.0, 0.0),
        Job("build", "r1", 2.0, 10.0, "web", Demand(frozenset({"ubuntu-*", "gpu"}), 2.0, 4 << 30), 3),
        Job("test, all", "r1", 2.5, 60.0, "web", Demand(frozenset(), 0.5, None), 0, (1,)),
    )


def test_json_lines_with_all_there_is():
    load = parse(
        '{"submit": 0, "duration": 10, "job": "a b", "run": "r", "labels": ["linux"], "cpus": 1.5, "memory": 100, "resources": {"gpu": 2}, "deadline": "1h"}\n'
        '{"submit": 1, "duration": "2h", "run": "r", "needs": ["a b"], "priority": -1, "preemptible": true}\n'
    )
    assert load.jobs == (
        Job(
            "a b",
            "r",
            0.0,
            10.0,
            "",
            Demand(frozenset({"linux"}), 1.5, 100, (("gpu", 2.0),)),
            deadline_s=3_600.0,
        ),
        Job("job-2", "r", 1.0, 7_200.0, priority=-1, needs=(0,), preemptible=True),
    )


def test_two_columns_are_enough():
    assert parse("duration,submit\n1,0\n1,0\n").jobs == (
        Job("job-2", "run-2", 0.0, 1.0),
        Job("job-3", "run-3", 0.0, 1.0),
    )


HEAD = "submit,duration,run,job,needs,cpus,memory,priority\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "t.csv: it is empty"),
        ("submit,duration\n", "t.csv: no jobs in it"),
        ("submit,length\n0,1\n", "t.csv:1: unknown column 'length'"),
        ("submit\n0\n", "t.csv:1: column 'duration' is missing"),
        ("submit,duration,submit\n0,1,2\n", "t.csv:1: a column is there twice"),
        ("submit,duration\n0\n", "t.csv:2: 1 cells, and the head has 2"),
        ('submit,duration\n"0,1\n', "t.csv:2: a quote is not closed"),
        ("submit,duration\n0,1\n0,-1\n", "t.csv:3: duration is negative: -1"),
        ("submit,duration\n-5,1\n", "t.csv:2: submit is negative: -5"),
        ("submit,duration\n0,nan\n", "t.csv:2: duration is nan"),
        ("submit,duration\ninf,1\n", "t.csv:2: submit is inf"),
        ("submit,duration\n0,1e300\n", "t.csv:2: duration is 1e+300 s: that is more than a hundred years"),
        ("submit,duration\n0,soon\n", "t.csv:2: 'soon' is no time"),
        ("submit,duration\n0,\n", "t.csv:2: duration is missing"),
        (HEAD + "0,1,r,a,b,,,\n", "t.csv:2: it needs 'b', and run 'r' has no such job"),
        (HEAD + "0,1,r,a,,,,\n0,1,r,a,,,,\n", "t.csv:3: run 'r' has a job 'a' already, in line 2"),
        (HEAD + "0,1,r,a,a,,,\n", "t.csv:2: needs form a circle: 'a' → 'a'"),
        (
            HEAD + "0,1,r,x,,,,\n0,1,r,a,b,,,\n0,1,r,b,c,,,\n0,1,r,c,a x,,,\n0,1,r,d,a,,,\n",
            "needs form a circle: 'a' → 'b' → 'c' → 'a'",
        ),
        (HEAD + "0,1,r,a,,0,,\n", "t.csv:2: '0' is no number of processors"),
        (HEAD + "0,1,r,a,,,0,\n", "t.csv:2: memory is 0: it must be more than 0"),
        (HEAD + "0,1,r,a,,,much,\n", "t.csv:2: 'much' is no amount of memory"),
        ("submit,duration,resources\n0,1,gpu\n", "t.csv:2: resources must be like gpu=1 disk=20Gi"),
        ("submit,duration,resources\n0,1,gpu=some\n", "t.csv:2: 'some' is no amount of gpu"),
        ("submit,duration,where\n0,1,gpu &&\n", "t.csv:2: 'gpu &&': a label is missing at its end"),
        ("submit,duration,apart,over\n0,1,k,rack\n", "t.csv:2: over is one of node, pool, zone, not 'rack'"),
        ("submit,duration,deadline\n0,1,-3\n", "t.csv:2: deadline is negative"),
        (
            "submit,duration,preemptible\n0,1,often\n",
            "t.csv:2: preemptible must be true or false, not 'often'",
        ),
        (HEAD + "0,1,r,a,,,,high\n", "t.csv:2: priority must be a whole number, not 'high'"),
        (HEAD + "0,1,r,a,,,,99999999\n", "t.csv:2: priority must be from -1,000,000 to 1,000,000"),
        ('{"submit": 0}\n', "t.csv:1: duration is missing"),
        ('{"submit": 0, "duration": true}\n', "t.csv:1: duration must be a number of seconds, not True"),
        ('{"submit": 0, "duration": [1]}\n', "t.csv:1: duration must be a number of seconds"),
        ('{"submit": 0, "duration": 1' + "0" * 400 + "}\n", "t.csv:1: duration is"),
        ('{"submit": 0, "duration": 1, "x": 1}\n', "t.csv:1: unknown key 'x'"),
        ('{"submit": 0, "duration": 1, "needs": 3}\n', "t.csv:1: needs must be a list of names, not 3"),
        ('{"submit": 0, "duration": 1, "run": {}}\n', "t.csv:1: run must be text"),
        ('{"submit": 0, "duration": 1}\n[]\n', "t.csv:2: each line must be one JSON object"),
        ('{"submit": 0, "duration": 1}\n{\n', "t.csv:2: not JSON"),
        ("submit,duration\n" + "9" * 70_000 + ",1\n", "t.csv:2: a line has at most 65,536 characters"),
    ],
)
def test_mistakes_are_told_by_file_and_line(text, told):
    with pytest.raises(UserError) as caught:
        parse(text)
    assert told in str(caught.value)


def test_what_is_no_file_or_no_text_is_told(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        trace.read(str(tmp_path / "none.csv"))
    (tmp_path / "bytes.csv").write_bytes(b"submit,duration\n\xff\xfe\n")
    with pytest.raises(UserError, match="not UTF-8"):
        trace.read(str(tmp_path / "bytes.csv"))
    with pytest.raises(UserError, match="cannot be written"):
        trace.write(Workload([Job("a", "r", 0, 1)]), str(tmp_path / "no folder" / "x.csv"))


words = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=6)
amounts = st.floats(0, 1e6).map(lambda value: round(value, 3))


RULES = [
    None,
    Rules(parse_labels("gpu && !zone:b || (x && y)"), frozenset({"lab", "other"}), parse_labels("fast")),
    Rules(near="a key", apart="k", apart_over="zone"),
    Rules(apart="k"),
]


@st.composite
def loads(draw) -> Workload:
    jobs = []
    names = draw(st.lists(words, min_size=1, max_size=8, unique=True))
    for number, name in enumerate(names):
        demand = Demand(
            frozenset(draw(st.sets(st.sampled_from(["linux", "gpu", "ubuntu-*"])))),
            draw(st.one_of(st.none(), st.sampled_from([0.5, 1.0, 2.25]))),
            draw(st.one_of(st.none(), st.integers(1, 1 << 40))),
            draw(st.sampled_from([(), (("disk", 1e9), ("gpu", 0.5))])),
            draw(st.sampled_from(RULES)),
        )
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else ()
        jobs.append(
            Job(
                name,
                "run",
                draw(amounts),
                draw(amounts),
                draw(st.sampled_from(["", "web team"])),
                demand,
                draw(st.integers(-9, 9)),
                tuple(sorted(needs)),
                draw(st.sampled_from([inf, 60.0])),
            )
        )
    return Workload(jobs)


@given(loads(), st.sampled_from(["csv", "jsonl"]))
def test_what_was_written_is_read_back(tmp_path_factory, load, kind):
    path = str(tmp_path_factory.mktemp("trace") / f"t.{kind}")
    trace.write(load, path)
    for one, other in zip(trace.read(path).jobs, load.jobs, strict=True):
        assert one._replace(submit_s=0, needs=()) == other._replace(submit_s=0, needs=())
        assert one.submit_s == pytest.approx(other.submit_s, abs=1e-5)
        assert set(one.needs) == set(other.needs)


def test_csv_says_when_it_cannot_hold_a_load(tmp_path):
    load = Workload([Job("a b", "r", 0, 1), Job("c", "r", 0, 1, needs=(0,))])
    with pytest.raises(UserError, match="'a b' has a space") as caught:
        trace.write(load, str(tmp_path / "x.csv"))
    assert "jsonl" in str(caught.value.hint)
    trace.write(load, str(tmp_path / "x.jsonl"))
    assert trace.read(str(tmp_path / "x.jsonl")).jobs == load.jobs
