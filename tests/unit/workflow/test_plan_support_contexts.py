"""The graph of jobs, what is not supported, and the contexts that travel."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.domain.errors import UserError
from relevo.workflow import contexts
from relevo.workflow.contexts import JobContexts
from relevo.workflow.diagnostics import WorkflowInvalid
from relevo.workflow.model import Workflow
from relevo.workflow.plan import ancestors, closure, order, select
from relevo.workflow.quantities import cpus, memory_bytes, seconds
from relevo.workflow.reader import read
from relevo.workflow.support import unsupported


def graph(edges: dict[str, list[str]]) -> Workflow:
    jobs = "".join(f"  {name}: {{runs-on: x, needs: {needs}}}\n" for name, needs in edges.items())
    return read(f"on: push\njobs:\n{jobs}".encode(), "w.yml")


EDGES = {"e": ["c", "d"], "c": ["a"], "d": ["b"], "a": [], "b": [], "f": []}


def test_graph() -> None:
    found = graph(EDGES)
    assert order(found) == ("a", "b", "f", "c", "d", "e")
    assert closure(found, []) == tuple(EDGES)
    assert closure(found, ["c", "f"]) == ("c", "a", "f")
    assert ancestors(found, "e") == {"a", "b", "c", "d"}
    with pytest.raises(UserError, match="no job 'g'"):
        closure(found, ["g"])


@given(st.lists(st.sets(st.integers(0, 9), max_size=4), min_size=1, max_size=10), st.randoms())
def test_order_and_closure_of_any_graph(below: list[set[int]], random: object) -> None:
    edges = {f"j{n}": [f"j{m}" for m in sorted(needs) if m < n] for n, needs in enumerate(below)}
    names = list(edges)
    random.shuffle(names)  # type: ignore[attr-defined]
    found = graph({name: edges[name] for name in names})
    placed = order(found)
    assert sorted(placed) == sorted(names)
    for name in names:
        assert all(placed.index(need) < placed.index(name) for need in edges[name])
        chosen = set(closure(found, [name]))
        assert all(set(edges[inner]) <= chosen for inner in chosen)


def test_nothing_unsupported() -> None:
    text = """
on: push
permissions: read-all
jobs:
  a:
    runs-on: x
    container: ''
    steps:
      - uses: Actions/Checkout@main
      - uses: actions/setup-python@0123
      - run: x
"""
    assert unsupported(read(text.encode(), "w.yml")) == ()


def test_all_that_is_unsupported_with_places() -> None:
    text = """\
on: push
cache-mode: none
jobs:
  a:
    runs-on: x
    container: node
    services: {db: {image: pg}}
    snapshot: y
    environment: prod
    steps:
      - uses: actions/github-script@v7
      - uses: ./local
      - uses: docker://alpine
      - uses: some/thing@v1
      - {run: x, background: true}
      - wait-all:
      - parallel: [{run: x}]
  b:
    uses: ./.github/workflows/x.yml
"""
    found = unsupported(read(text.encode(), "w.yml"))
    assert [(one.line, one.column, one.severity) for one in found] == [
        (2, 1, "warning"),
        (6, 5, "error"),
        (7, 5, "error"),
        (8, 5, "error"),
        (9, 5, "warning"),
        (11, 15, "error"),
        (13, 15, "error"),
        (14, 15, "error"),
        (15, 18, "error"),
        (16, 9, "error"),
        (17, 9, "error"),
        (19, 11, "error"),
    ]
    assert all(one.hint and one.excerpt for one in found)


def test_contexts_travel() -> None:
    full = JobContexts(
        {"ref": "x"}, {"v": "1"}, {"i": True}, {"a": {"result": "success"}}, {}, {"k": [1]}, "n", {}, ("s",)
    )
    assert contexts.decode(contexts.encode(full)) == full
    shared = contexts.encode_value({"ref": "x"})
    raw = JobContexts(shared, job_name="n")  # type: ignore[arg-type]
    assert contexts.decode(contexts.encode(raw)) == JobContexts({"ref": "x"}, job_name="n")
    with pytest.raises(msgspec.DecodeError):
        contexts.decode(b"\xc1")


def test_contexts_of_later_programs_can_be_read() -> None:
    data = msgspec.msgpack.encode({"github": {}, "job_name": "n", "something_new": 1})
    assert contexts.decode(data) == JobContexts({}, job_name="n")


def test_strategy_context() -> None:
    assert contexts.strategy_context(True, 1, 3, None) == {
        "fail-fast": True,
        "job-index": 1,
        "job-total": 3,
        "max-parallel": 3,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("1.5s", 1.5), ("250ms", 0.25), ("10m", 600), ("2 h", 7200), ("1d", 86400)],
)
def test_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("1024", 1024), ("512Mi", 512 << 20), ("2G", 2 * 10**9), ("1.5GiB", 3 << 29), ("1kb", 1000)],
)
def test_memory(text: str, value: int) -> None:
    assert memory_bytes(text) == value


def test_cpus() -> None:
    assert [cpus("2"), cpus("0.5"), cpus("500m")] == [2, 0.5, 0.5]


@pytest.mark.parametrize("text", ["", "-1", "x", "1 2", "0x1", "1e3", "5y", "0"])
def test_amounts_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        cpus(text)
    if text != "0":
        with pytest.raises(ValueError, match="write"):
            seconds(text)
        with pytest.raises(ValueError, match="write"):
            memory_bytes(text)


CALLS = b"on: push\njobs:\n  a: {uses: ./c.yml}\n  b: {uses: ./c.yml}\n  z: {needs: [a], uses: ./c.yml}\n"
CALLED = b"""on: workflow_call
cache-mode: none
jobs:
  one: {runs-on: linux, steps: [{run: x}]}
  two: {needs: one, runs-on: linux, steps: [{uses: docker/login-action@v3}]}
  far: {uses: o/r/.github/workflows/x.yml@v1}
"""


def selected(*names: str) -> dict[str, list[str]]:
    found = select(read(CALLS, "w.yml", {"./c.yml": CALLED}.get), names)
    return {name: list(job.called.jobs) for name, job in found.jobs.items() if job.called}


ALL = ["one", "two", "far"]


@pytest.mark.parametrize(
    ("names", "jobs"),
    [
        ((), {"a": ALL, "b": ALL, "z": ALL}),
        (("b",), {"b": ALL}),
        (("a / one",), {"a": ["one"]}),
        (("a / two", "b / far"), {"a": ["one", "two"], "b": ["far"]}),
        (("a / one", "a / far"), {"a": ["one", "far"]}),
        (("a", "a / one"), {"a": ALL}),
        (("z / one",), {"a": ALL, "z": ["one"]}),
        (("a / one", "z / one"), {"a": ALL, "z": ["one"]}),  # what a selected job needs is needed whole
    ],
)
def test_jobs_of_calls_are_selected(names: tuple[str, ...], jobs: dict[str, list[str]]) -> None:
    assert selected(*names) == jobs


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a / tow", "c.yml has no job 'tow'"),
        ("c / one", "w.yml has no job 'c'"),
        ("a / one / x", "c.yml: job 'one' calls no workflow"),
    ],
)
def test_jobs_that_cannot_be_selected(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        selected(name)


def test_what_a_called_file_asks_for_is_told_at_its_place_for_each_call() -> None:
    found = unsupported(read(CALLS, "w.yml", {"./c.yml": CALLED}.get))
    places = [(one.path, one.line, one.column, one.message.rpartition(" (")[2]) for one in found]
    expected = [("c.yml", line, column) for line, column in ((2, 1), (5, 52), (6, 15))]
    assert places == [
        (*place, f"called by w.yml:{line}:{column})")
        for line, column in ((3, 13), (4, 13), (5, 25))
        for place in expected
    ]


def test_cache_mode_is_accepted_with_a_warning_and_its_values_are_checked() -> None:
    text = "on: push\ncache-mode: read\njobs: {a: {runs-on: x, cache-mode: write-only}}"
    found = unsupported(read(text.encode(), "w.yml"))
    assert [(one.line, one.severity) for one in found] == [(2, "warning"), (3, "warning")]
    with pytest.raises(WorkflowInvalid, match="'some' is not a cache mode"):
        read(text.replace("read", "some").encode(), "w.yml")
