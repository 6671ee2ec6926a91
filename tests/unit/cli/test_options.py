from __future__ import annotations

import io

import click
import pytest

from relevo.cli import options


def test_pairs() -> None:
    assert options.pairs("--env", ["A=1", "B=", "C=x=y", "A=2"]) == {"A": "2", "B": "", "C": "x=y"}
    for wrong in ("A", "=1", ""):
        with pytest.raises(click.UsageError, match="=VALUE"):
            options.pairs("--env", [wrong])


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "from outside")
    assert options.secrets(["TOKEN", "KEY=a=b"]) == {"TOKEN": "from outside", "KEY": "a=b"}


def test_a_secret_that_nobody_gives_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(click.UsageError, match="set the variable TOKEN"):
        options.secrets(["TOKEN"])


@pytest.mark.parametrize("name", ["", "1A", "A B", "A-B", "=x"])
def test_names_of_secrets(name: str) -> None:
    with pytest.raises(click.UsageError, match="a secret's name"):
        options.secrets([name])


def test_one_style() -> None:
    assert options.style(plain=False, as_json=False, quiet=False) == ""
    assert options.style(plain=False, as_json=True, quiet=False) == "json"
    with pytest.raises(click.UsageError, match="exclude each other"):
        options.style(plain=False, as_json=True, quiet=True)


def test_secrets_that_a_workflow_names_and_nobody_gave() -> None:
    text = b"""
# ${{ secrets.COMMENTED }}
on: push
env: {A: "${{ secrets.FIRST || secrets.second }}", B: "${{ secrets.GITHUB_TOKEN }}", C: secrets.text}
"""
    assert options.missing_secrets(text, []) == ["FIRST", "SECOND"]
    assert options.missing_secrets(text, ["first", "SECOND"]) == []
