"""The catalogue, the code and the page tell of the same metrics and events."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from scripts.telemetry import PAGE

from relevo.core.measured import REGISTRY
from relevo.domain import events as e
from relevo.domain.stored import Stored
from relevo.orchestrator.public import OUTPUTS_FACT, SUMMARY_FACT, Projection
from relevo.telemetry.catalogue import ALWAYS, EVENTS, METRICS

FAMILIES = {family.name: family for family in REGISTRY.families()}
LISTED = {name: metric for metrics in METRICS.values() for name, metric in metrics.items()}

#: One of each kind of stored event, in an order that a run could have.
HISTORY: list[e.Event] = [
    e.RunAccepted(
        "r",
        "ci",
        "a title",
        "push",
        "spec",
        group=e.GroupAsk("s", "g"),
        traceparent="p",
        tracestate="s",
        retried_traceparent="q",
    ),
    e.GroupGranted(-1, "s"),
    e.NodesAdded([e.NodeDecl("call", []), e.NodeDecl("test", [0])]),
    e.NodesAdded([e.NodeDecl("inner", [])], caller=0),
    e.NodeExpanded(0, [e.JobDecl("call", calls="other.yml")]),
    e.CallsOpened([0]),
    e.CallCancelling(0),
    e.CallReturned(0, {"x": "y"}),
    e.NodeExpanded(1, [e.JobDecl("test", ["linux"], groups=[e.GroupAsk("s", "g")])]),
    e.JobsWaiting([1]),
    e.GroupGranted(1, "s"),
    e.JobsQueued([1]),
    e.RunStarted(),
    e.AttemptAssigned(1, 1, "local"),
    e.AttemptStarting(1, 1),
    e.AttemptStarted(1, 1),
    e.StepStarted(1, 1, 0, "step"),
    e.Annotated(1, 1, 0, "error", "bad"),
    e.StepEnded(1, 1, 0, "step", "success", "success"),
    e.ArtifactSaved(1, 1, "a", "digest", 1),
    e.AttemptEnded(1, 1, "lost"),
    e.JobRetrying(1, "lost"),
    e.JobPreempting(1, "other", "deploy"),
    e.JobHeld(1, "lost"),
    e.JobCancelling(1),
    e.RunHeld(),
    e.RunReleased(),
    e.RunCancelling(),
    e.JobEnded(1, "failed"),
    e.Warned("careful"),
    e.RunEnded("failed"),
    e.SummaryDelivered(),
]


def public() -> list[dict[str, Any]]:
    return Projection().project(Stored(1, "r", 1, 1, 1_000, e.encode(HISTORY)))


def test_the_history_has_all_kinds_of_events() -> None:
    assert {type(event) for event in HISTORY} == set(get_args(e.Event))


def test_each_metric_has_its_entry_and_each_entry_its_metric() -> None:
    assert set(FAMILIES) == set(LISTED)


def test_the_labels_are_those_that_are_counted_by() -> None:
    assert {name: family.label_names for name, family in FAMILIES.items()} == {
        name: tuple(metric.labels) for name, metric in LISTED.items()
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_names_and_units_keep_the_rules_of_openmetrics(name: str) -> None:
    family = FAMILIES[name]
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
    assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_created", "_info"))
    assert family.help.endswith(".")
    if family.unit:
        assert name.endswith(f"_{family.unit}")
    assert not name.endswith(("_seconds", "_bytes")) or family.unit, "a unit that is not told"
    assert not {"run", "job", "step", "attempt"} & set(family.label_names), "labels without a bound"


def test_each_event_has_its_entry_and_each_entry_its_event() -> None:
    assert {event["event"] for event in public()} == set(EVENTS)


def test_the_fields_are_those_that_come() -> None:
    came: dict[str, set[str]] = {}
    for event in public():
        fields = set(event) - set(ALWAYS) - {SUMMARY_FACT, OUTPUTS_FACT}
        assert set(ALWAYS) <= set(event)
        came.setdefault(event["event"], set()).update(fields)
    assert came == {kind: set(event.fields) for kind, event in EVENTS.items()}


def test_the_page_tells_of_all() -> None:
    page = PAGE.read_text()
    for name, family in FAMILIES.items():
        assert f"| `{name}_total` |" in page if family.kind == "counter" else f"| `{name}` |" in page
    for kind in EVENTS:
        assert f"| `{kind}` |" in page
