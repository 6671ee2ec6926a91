"""No traceback, no hang, no unbounded memory, whatever a file or an expression holds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, action, expression, file

ROOT = Path(__file__).parents[2]
SECONDS = int(os.environ.get("RELEVO_FUZZ_SECONDS", "120"))  #: of each target in a soak

#: What files and expressions are made of, and what breaks readers of such.
FRAGMENTS = st.sampled_from(
    [
        *(
            "on: push\n",
            "jobs:\n",
            "  a:\n",
            "    runs-on: x\n",
            "    steps:\n",
            "      - run: x\n",
            "    uses: ./w.yml\n",
        ),
        *(
            "    strategy: ",
            "{matrix: {a: [1, 2], ",
            "include: ",
            "exclude: ",
            "${{ fromJSON(inputs.text) }}",
            "    if: ",
        ),
        *(
            "needs: [a]\n",
            "&a ",
            "*a",
            "<<: ",
            "!!int ",
            "!x ",
            "- ",
            "? ",
            ": ",
            "|\n",
            ">-\n",
            "---\n",
            "# x\n",
            "\t",
        ),
        *(
            "[",
            "]",
            "{",
            "}",
            "'",
            '"',
            ",",
            "\n",
            "  ",
            "\x00",
            "\ufeff",
            "\u2028",
            "é",
            "0x",
            "1e9",
            ".nan",
            "~",
        ),
        *(
            "${{",
            "}}",
            "always()",
            "github.event.commits.*.message",
            "hashFiles('**')",
            "runs:\n  using: composite\n  steps:\n",
            "inputs:\n",
            "  x: {default: 1}\n",
            "outputs: {y: {value: ",
            "format('{0}{0}', inputs.text)",
        ),
    ]
)
PIECES = st.sampled_from(
    [
        *(
            "github",
            "inputs",
            "env",
            ".list",
            ".deep",
            ".*",
            "[0]",
            "['a']",
            "[",
            "]",
            "(",
            ")",
            ",",
            " ",
            "!",
            "&&",
            "||",
        ),
        *(
            "==",
            "!=",
            "<",
            ">=",
            "1",
            "-1",
            "0x1f",
            "1e308",
            "NaN",
            "Infinity",
            "'",
            "''",
            "'{0}'",
            "null",
            "true",
            ".",
        ),
        *(
            "format(",
            "join(",
            "toJSON(",
            "fromJSON(",
            "contains(",
            "startsWith(",
            "case(",
            "success()",
            "é",
            "\x00",
        ),
    ]
)


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300), st.lists(FRAGMENTS, max_size=30).map(lambda found: "".join(found).encode())
    )
)
def test_files(data: bytes) -> None:
    file(data)


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300), st.lists(FRAGMENTS, max_size=30).map(lambda found: "".join(found).encode())
    )
)
def test_actions(data: bytes) -> None:
    action(data)


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60), st.lists(PIECES, max_size=25).map(lambda found: "".join(found).encode())
    )
)
def test_expressions(data: bytes) -> None:
    expression(data)


def _nested(opening: str, closing: str, depth: int) -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HEAD = "on: push\njobs: {a: {runs-on: x, strategy: {matrix: "


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "data",
    [
        BOMB.encode(),
        _nested("[", "]", 100_000),
        _nested("{a: ", "}", 100_000),
        ("- " * 100_000).encode(),
        b"on: push\n" + b"x: y\n" * 200_000,
        (HEAD + "{a: " + str(list(range(999))) + ", b: " + str(list(range(999))) + "}}}}").encode(),
        (HEAD + "\"${{ fromJSON('{" + '\\"a\\":[' * 200 + "') }}\"}}}").encode(),
        b"on: push\njobs: {a: {uses: ./w.yml}, b: {uses: ./w.yml}}\n",
        b"on: [push, workflow_call]\njobs: {a: {uses: ./w.yml}, b: {uses: ./w.yml}}\n",
        b"on: push\njobs: {"
        + b", ".join(b"j%d: {runs-on: x, needs: j%d}" % (at, at + 1) for at in range(5000))
        + b"}",
        b"on: push\njobs: {"
        + b", ".join(b'j%d: {needs: x%d, runs-on: "${{ no.no }}"}' % (at, at) for at in range(4_000))
        + b"}",
        b"on: push\njobs: {a: {runs-on: x, steps: ["
        + b", ".join(b'{id: s%d, run: "${{ steps.t%d.outputs }}"}' % (at, at) for at in range(4_000))
        + b"]}}",
        HEAD.encode() + b'{a: ["' + b"${{ no.no }}" * 60_000 + b'"]}}}}',
        HEAD.encode() + b'{a: ["' + b"${{ " * 50_000 + b'"]}}}}',
    ],
    ids=[
        *("aliases", "lists", "mappings", "dashes", "keys", "matrix", "json", "calls", "circle", "needs"),
        *("mistakes", "references", "expressions", "openings"),
    ],
)
def test_bombs_of_files(data: bytes) -> None:
    file(data)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "data",
    [
        _nested("(", ")", 10_000),
        b"!" * 20_000 + b"1",
        b" && ".join([b"1"] * 5000),
        b"github" + b".event" * 4000,
        b"inputs.list" + b".*" * 2000,
        b"format('" + b"{0}" * 6000 + b"', inputs.text)",
        b"format('{0}{0}{0}{0}{0}{0}{0}{0}', " * 12 + b"inputs.text" + b")" * 12,
        b"join(inputs.list, " * 20 + b"inputs.text" + b")" * 20,
        b"fromJSON('" + b"[" * 15_000 + b"')",
        b"fromJSON(toJSON(" * 40 + b"inputs" + b"))" * 40,
        b"'" + b"''" * 10_000,
        b"fromJSON('" + b"9" * 20_000 + b"')",
    ],
    ids=[
        "parens",
        "nots",
        "ands",
        "path",
        "spreads",
        "format",
        "formats",
        "joins",
        "json",
        "there-and-back",
        "quotes",
        "digits",
    ],
)
def test_bombs_of_expressions(data: bytes) -> None:
    expression(data)


@pytest.mark.soak
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_guided_by_coverage(target: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed; there is no wheel for this Python or machine")
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    patterns = {"file": "examples/**/*.yml", "action": "examples/**/action.yml"}
    examples = sorted(ROOT.glob(patterns[target])) if target in patterns else []
    texts = [path.read_bytes() for path in examples] or [
        b"format('{0}', github.event.commits.*.message[0]) == inputs.text"
    ]
    for number, text in enumerate(texts):
        seeds.joinpath(str(number)).write_bytes(text)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.guided", target, str(seeds), f"-max_total_time={SECONDS}"),
            *("-timeout=10", "-rss_limit_mb=1024", "-max_len=8192", f"-artifact_prefix={tmp_path}/"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    assert "DONE" in run.stderr or "Done" in run.stderr, run.stderr[-1000:]
