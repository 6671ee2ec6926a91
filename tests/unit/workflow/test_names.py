"""Rules of single texts: schedules, images, groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.workflow import cron
from relevo.workflow.reader import WorkflowInvalid, read


def field(least: int, most: int) -> st.SearchStrategy[str]:
    numbers = st.integers(least, most)
    ranges = st.tuples(numbers, numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
    part = st.one_of(st.just("*"), numbers.map(str), ranges)
    stepped = st.builds(lambda one, step: f"{one}/{step}", part, st.integers(1, 60))
    return st.lists(st.one_of(part, stepped), min_size=1, max_size=3).map(",".join)


BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
FIELDS = [field(*bounds) for bounds in BOUNDS]


@given(st.tuples(*FIELDS))
def test_schedules_are_accepted(words: tuple[str, ...]) -> None:
    assert cron.problem(" ".join(words)) is None


@given(st.tuples(*FIELDS), st.integers(0, 4), st.data())
def test_numbers_out_of_their_bounds_are_refused(
    words: tuple[str, ...], at: int, data: st.DataObject
) -> None:
    least, most = BOUNDS[at]
    outside = data.draw(st.one_of(st.integers(most + 1, most * 100), st.integers(0, max(0, least - 1))))
    if least <= outside <= most:
        return
    spoiled = [*words[:at], str(outside), *words[at + 1 :]]
    assert f"it goes from {least} to {most}" in (cron.problem(" ".join(spoiled)) or "")


@given(st.text(max_size=40))
def test_any_text_is_judged(text: str) -> None:
    said = cron.problem(text)
    assert said is None or said


@pytest.mark.parametrize(
    "text", ["", "* * * *", "* * * * * *", "@daily", "5-1 * * * *", "*/0 * * * *", "*-5 * * * *", "a * * * *"]
)
def test_no_schedules(text: str) -> None:
    assert cron.problem(text)


def refused(text: str, said: str) -> None:
    with pytest.raises(WorkflowInvalid, match=said):
        read(text.encode(), "w.yml")


def test_what_a_file_may_not_say() -> None:
    job = "jobs: {a: {runs-on: x, steps: [{run: x}]%s}}"
    refused("on: {schedule: [{cron: '* * *'}]}\n" + job % "", "1:24: a cron expression has 5 fields")
    refused("on: push\n" + job % ", container: 'docker://'", "needs an image")
    refused("on: push\n" + job % ", services: {a: {image: 'docker://'}}", "needs an image")
    refused("on: push\n" + job % ", snapshot: {image-name: x, version: 2.1}", "'2.1' is no version")
    refused("on: push\n" + job % f", concurrency: {'x' * 401}", "may have 400 characters")
    for good in (
        ", container: docker://alpine",
        ", container: ''",
        ", snapshot: {image-name: x, version: 2.*}",
        f", concurrency: {'x' * 400}",
        ", concurrency: {group: '${{ github.ref }}'}",
    ):
        read(("on: {schedule: [{cron: '0 5 * * MON-FRI'}]}\n" + job % good).encode(), "w.yml")
