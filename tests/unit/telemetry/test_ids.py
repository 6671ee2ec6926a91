"""Ids of traces and spans: W3C's form, and nothing but what they are of."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from relevo.telemetry import ids

RUNS = st.text(min_size=1)
NUMBERS = st.integers(0, 10_000)
HEX = "0123456789abcdef"
FORM = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def any_hex(size: int) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=size, max_size=size).filter(lambda text: text.strip("0"))


PARENTS = st.builds(ids.Parent, any_hex(32), any_hex(16), st.booleans())


@given(RUNS, NUMBERS, NUMBERS, NUMBERS, PARENTS | st.none())
def test_a_steps_parent_is_valid_and_always_the_same(run, job, attempt, step, parent):
    given = "" if parent is None else str(parent)
    text = ids.step_parent(run, given, job, attempt, step)
    assert FORM.fullmatch(text)
    assert text == ids.step_parent(run, given, job, attempt, step)
    found = ids.parse(text)
    assert found is not None
    assert str(found) == text
    assert found.span_id == ids.step_span(run, job, attempt, step)
    assert found.trace_id == (ids.trace_of(run) if parent is None else parent.trace_id)
    assert found.sampled == (parent is None or parent.sampled)


@given(st.lists(st.tuples(RUNS, NUMBERS, NUMBERS, NUMBERS), unique=True, min_size=2))
def test_no_two_spans_have_the_same_id(places):
    spans = set()
    for run, job, attempt, step in places:
        spans |= {
            ("run", run): ids.run_span(run),
            ("job", run, job): ids.job_span(run, job),
            ("queue", run, job, attempt): ids.queue_span(run, job, attempt),
            ("attempt", run, job, attempt): ids.attempt_span(run, job, attempt),
            ("step", run, job, attempt, step): ids.step_span(run, job, attempt, step),
        }.items()
    assert len({id for _, id in spans}) == len(spans)


@given(PARENTS, st.sampled_from(["", "-more", " "]), st.sampled_from(["00", "01", "7e", "ff"]))
def test_what_is_read_of_a_traceparent(parent, rest, version):
    text = version + str(parent)[2:] + rest
    valid = version != "ff" and (version != "00" or rest != "-more")
    assert ids.parse(text) == (parent if valid else None)


@given(st.text())
def test_other_text_is_no_traceparent(text):
    assert ids.parse(text) is None


def test_malformed_ones():
    for text in (
        "",
        GIVEN.upper(),
        GIVEN[:-1],
        GIVEN.replace("b7ad6b7169203331", "0" * 16),
        GIVEN.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        f"{GIVEN}\n00",
    ):
        assert ids.parse(text) is None, text


def test_a_tracestate_is_passed_on_when_it_may_be():
    assert ids.state(" a=1,b@c=2 ") == "a=1,b@c=2"
    assert ids.state("a=1\nb=2") == ""
    assert ids.state("a=ü") == ""
    assert ids.state("a=" + "x" * 600) == ""
