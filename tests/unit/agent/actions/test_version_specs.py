from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.agent.actions import version_specs
from relevo.agent.actions.pythons import parse_spec
from relevo.agent.actions.version_specs import SpecInvalid, Version, parse, parse_version

ALL = [
    parse_version(text)
    for text in [
        "2.7.18",
        "3.8.18",
        "3.9.0",
        "3.9.18",
        "3.10.13",
        "3.11.0",
        "3.11.2",
        "3.11.7",
        "3.12.0",
        "3.12.1",
        "3.13.0",
        "3.14.0a1",
        "3.14.0rc2",
        "4.0.0",
    ]
]

SCENARIOS = {
    "3.x": "3.8.18 3.9.0 3.9.18 3.10.13 3.11.0 3.11.2 3.11.7 3.12.0 3.12.1 3.13.0",
    "3": "3.8.18 3.9.0 3.9.18 3.10.13 3.11.0 3.11.2 3.11.7 3.12.0 3.12.1 3.13.0",
    "*": "2.7.18 3.8.18 3.9.0 3.9.18 3.10.13 3.11.0 3.11.2 3.11.7 3.12.0 3.12.1 3.13.0 4.0.0",
    "3.11": "3.11.0 3.11.2 3.11.7",
    "3.11.x": "3.11.0 3.11.2 3.11.7",
    "v3.11": "3.11.0 3.11.2 3.11.7",
    "3.11.2": "3.11.2",
    "=3.11.2": "3.11.2",
    "3.1": "",
    ">=3.11 <3.13": "3.11.0 3.11.2 3.11.7 3.12.0 3.12.1",
    ">=3.11, <3.13": "3.11.0 3.11.2 3.11.7 3.12.0 3.12.1",
    ">= 3.11 < 3.12": "3.11.0 3.11.2 3.11.7",
    ">3.11": "3.12.0 3.12.1 3.13.0 4.0.0",
    ">3.11.2 <3.12": "3.11.7",
    "<=3.9": "2.7.18 3.8.18 3.9.0 3.9.18",
    "<3.9": "2.7.18 3.8.18",
    "~3.11.2": "3.11.2 3.11.7",
    "~3.11": "3.11.0 3.11.2 3.11.7",
    "~3": "3.8.18 3.9.0 3.9.18 3.10.13 3.11.0 3.11.2 3.11.7 3.12.0 3.12.1 3.13.0",
    "^3.12": "3.12.0 3.12.1 3.13.0",
    "3.9 - 3.10": "3.9.0 3.9.18 3.10.13",
    "3.9 || 3.12.1": "3.9.0 3.9.18 3.12.1",
    "3.14": "",
    "3.14-dev": "3.14.0a1 3.14.0rc2",
    "3.14.0-rc.2": "3.14.0rc2",
    "3.14.0rc2": "3.14.0rc2",
    ">=3.14.0-alpha.0 <4": "3.14.0a1 3.14.0rc2",
}


@pytest.mark.parametrize("spec", SCENARIOS)
def test_scenarios(spec: str) -> None:
    admitted = [version for version in ALL if parse_spec(spec).versions.admits(version)]
    assert " ".join(map(str, admitted)) == SCENARIOS[spec]


def test_prereleases_when_allowed() -> None:
    assert parse("3.14", prereleases=True).admits(parse_version("3.14.0rc2"))
    assert not parse("<3.14", prereleases=True).admits(parse_version("3.14.0rc2"))


def test_freethreaded() -> None:
    spec = parse_spec("3.13t")
    assert spec.freethreaded
    assert spec.text == "3.13t"
    assert spec.versions.admits(parse_version("3.13.0"))
    assert parse_spec("3.14t-dev").versions.admits(parse_version("3.14.0a1"))


def test_as_other_tools_write_versions() -> None:
    assert parse_version("v20.20.2") == Version(20, 20, 2)
    assert parse_version("1.22") == Version(1, 22, 0)
    assert parse("1.22rc1").admits(parse_version("1.22rc1"))
    assert parse("1.22-rc.1").admits(parse_version("1.22rc1"))
    assert not parse("1.22rc1").admits(parse_version("1.22.0"))
    assert not parse("1.22").admits(parse_version("1.22rc1"))
    assert parse("1.22").admits(parse_version("1.22.7"))


@pytest.mark.parametrize(
    "text", ["pypy3.9", "pypy-3.10-v7.3", "graalpy-24", "three", "3.11.2.1", ">=", "3.x.y", "!=3.9"]
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(SpecInvalid):
        parse_spec(text)


versions = st.builds(
    Version,
    st.integers(2, 4),
    st.integers(0, 20),
    st.integers(0, 20),
    st.sampled_from([(0, 1), (1, 2), (2, 1), version_specs._FINAL]),
)


@given(versions)
def test_a_version_reads_back_and_admits_itself(version: Version) -> None:
    assert parse_version(str(version)) == version
    assert parse(str(version)).admits(version)


@given(st.sampled_from(sorted(SCENARIOS)), versions)
def test_a_minor_release_is_left_out_only_if_none_of_it_is_admitted(text: str, version: Version) -> None:
    spec = parse_spec(text).versions
    if spec.admits(version):
        assert spec.may_admit(version.major, version.minor)


@given(st.text("0123456789.x*<>=~^|- abrcdevt", max_size=20))
def test_any_text_is_a_spec_or_refused(text: str) -> None:
    try:
        parse_spec(text)
    except SpecInvalid:
        pass
