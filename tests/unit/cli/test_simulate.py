"""`relevo simulate` as its users meet it, and all that docs/simulation.md shows."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from relevo.cli import exits
from relevo.cli.errors import guarded
from relevo.cli.group import group
from relevo.cli.simulate_view import curve

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "simulation.md").read_text()
SMALL = ["--jobs", "60", "--span", "1h", "--agents", "2:slots=2"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELEVO_HOME", str(tmp_path / "home"))
    return tmp_path


def simulate(*args: str) -> int:
    def run() -> int:
        code = group().main(["simulate", *args], prog_name="relevo", standalone_mode=False)
        return code if isinstance(code, int) else 0

    return guarded(run)


def test_it_tells_tables(capsys):
    assert simulate(*SMALL, "--tenants", "2", "--noisy", "0.3", "--failures", "1h") == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert lines[0].startswith("60 jobs of 3 tenants in ")
    for word in (
        "relevo",
        "fifo",
        "srpt",
        "wait",
        "response",
        "slowdown",
        "fairness",
        "noisy",
        "no schedule has",
    ):
        assert word in told
    assert "\x1b" not in told


def test_the_same_seed_prints_the_same(capsys):
    for kind in ([], ["--json"]):
        outputs = []
        for seed in ("1", "1", "2"):
            assert simulate(*SMALL, "--tenants", "3", "--failures", "30m", "--seed", seed, *kind) == 0
            outputs.append(capsys.readouterr().out)
        assert outputs[0] == outputs[1] != outputs[2]


def test_programs_get_one_object(capsys):
    assert simulate(*SMALL, "--json", "--policy", "fifo", "--policy", "relevo", "--policy", "fifo") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["v"] == 1
    assert told["load"]["jobs"] == 60
    assert told["machines"]["agents"] == ["2:slots=2"]
    assert [one["policy"] for one in told["policies"]] == ["fifo", "relevo"]
    first = told["policies"][0]
    assert first["ended"] == 60
    assert set(first["wait"]) == {"mean", "p50", "p90", "p99", "max"}
    assert len(first["queue_over_time"]) == len(first["use_over_time"]) == 240


def test_plots_are_files(folder, capsys):
    assert simulate(*SMALL, "--plot", "a.svg") == 0
    assert (folder / "a.svg").read_text().startswith("<svg")
    assert simulate(*SMALL, "--plot", "a.png") == 0
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")


def test_without_resvg_a_png_is_refused_with_what_to_do(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert simulate(*SMALL, "--plot", "a.png") == exits.BAD_INPUT
    assert "pip install 'relevo[plot]'" in capsys.readouterr().err


def test_what_was_exported_comes_to_the_same(folder, capsys):
    assert simulate(*SMALL, "--export", "a.csv") == 0
    assert capsys.readouterr() == ("", "60 jobs written to a.csv\n")
    assert simulate(*SMALL, "--json") == 0
    direct = json.loads(capsys.readouterr().out)
    assert simulate("a.csv", "--agents", "2:slots=2", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    for one, other in zip(direct["policies"], again["policies"], strict=True):
        assert one["wait"] == pytest.approx(other["wait"], abs=1e-3)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["none.csv"], "none.csv: No such file or directory"),
        (["--policy", "best"], "there is no policy 'best'"),
        (["--agents", "0"], "the number of agents must be a whole number from 1 on"),
        (["--agents", "4:GPU=1"], "'GPU=1' is not understood"),
        (["--agents", "4:load=2"], "load is a part of the machine, from 0 to 1, not '2'"),
        (["--agents", "4:load=nan"], "load is a part of the machine"),
        (["--policy", "none.toml"], "none.toml: "),
        (["--share", "web"], "'web' is not understood"),
        (["--load", "0"], "--load 0"),
        (["--load", "nan"], "--load nan"),
        (["--load", "1", "--mean", "5s"], "--load and --mean both say"),
        (["--jobs", "0"], "--jobs 0: from 1 to 2,000,000"),
        (["--jobs", "-5"], "--jobs -5"),
        (["--span", "0s"], "--span 0s: it must be more than 0"),
        (["--span", "soon"], "--span: 'soon' is no time"),
        (["--mean", "900000d"], "--mean"),
        (["--startup", "-1"], "--startup"),
        (["--startup", "1d", "--load", "0.1"], "to start 10,000 workers takes more than that"),
        (["--failures", "0"], "--failures 0: it must be more than 0"),
        (["--repair", "5m"], "--repair says nothing without --failures"),
        (["--noisy", "2"], "--noisy 2"),
        (["--tenants", "0"], "--tenants 0"),
        (["a.csv", "--from-home"], "a.csv and --from-home are two loads"),
        (["--from-home", "--jobs", "5"], "--from-home and --jobs are two loads"),
        (["--last", "7d"], "--last goes with --from-home"),
        (["--from-home"], "there is no run yet"),
        (["--plot", "a.pdf"], "name it .svg or .png"),
        ([*SMALL, "--export", "no/folder.csv"], "no/folder.csv cannot be written"),
        ([*SMALL, "--plot", "no/folder.svg"], "no/folder.svg cannot be written"),
    ],
)
def test_bad_input_is_told(args, told, capsys):
    assert simulate(*args) == exits.BAD_INPUT
    out, err = capsys.readouterr()
    assert told in err
    assert "Traceback" not in err
    assert out == ""


def test_jobs_that_fit_nowhere_are_named_or_left_out(folder, capsys):
    (folder / "t.csv").write_text(
        "submit,duration,job,run,labels\n0,1,mac,r,macos-14\n0,1,linux,r,ubuntu-latest\n"
    )
    assert simulate("t.csv") == exits.BAD_INPUT
    assert "r / mac: it runs on macos-14" in capsys.readouterr().err
    assert simulate("t.csv", "--skip-unmatched") == 0
    assert "left out: 1 job that fit no agent" in capsys.readouterr().out


def test_a_file_decides_as_it_does_in_an_engine(folder, capsys):
    (folder / "t.csv").write_text(
        "submit,duration,job,run,tenant\n"
        + "".join(f"0,10,j{n},r,web\n" for n in range(4))
        + "0,10,x,s,api\n"
    )
    (folder / "mine.toml").write_text("fair = true\n[tenants.web]\nquota = {jobs = 1}\n")
    asked = ["t.csv", "--agents", "1:slots=4,window=0", "--policy", "mine.toml", "--policy", "relevo"]
    assert simulate(*asked, "--json") == 0
    mine, usual = json.loads(capsys.readouterr().out)["policies"]
    assert (mine["policy"], mine["wait"]["max"], usual["wait"]["max"]) == ("mine.toml", 30.0, 10.0)
    assert simulate(*asked, "--share", "web:jobs=2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["policies"][0]["wait"]["max"] == 10.0


def test_the_home_decides_where_it_says_how(folder, capsys):
    assert simulate(*SMALL, "--policy", "home") == exits.BAD_INPUT
    assert "has no scheduling.toml" in capsys.readouterr().err
    (folder / "home").mkdir()
    (folder / "home" / "scheduling.toml").write_text("[placement]\npack = 1\n")
    assert simulate(*SMALL, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["policy"] for one in told["policies"]] == ["home", "relevo", "fair", "fifo", "srpt"]
    assert simulate(*SMALL, "--policy", "home", "--policy", "pack", "--json") == 0
    home, pack = json.loads(capsys.readouterr().out)["policies"]
    assert {**home, "policy": ""} == {**pack, "policy": ""}


def test_a_custom_policy_that_fails_is_set_aside_and_told_of(folder, capsys):
    (folder / "mine.py").write_text(
        "from relevo.scheduler.custom import CustomPolicy\n"
        "class Mine(CustomPolicy):\n    def order(self, job): raise RuntimeError('no idea')\n"
    )
    (folder / "mine.toml").write_text('policy = "mine.py:Mine"\n')
    assert simulate(*SMALL, "--load", "2", "--policy", "mine.toml") == 0
    assert (
        "mine.toml: Mine was set aside, and the usual policy decided: order raised RuntimeError: no idea"
        in (capsys.readouterr().err)
    )


def test_jobs_go_by_their_rules_and_by_what_agents_report(folder, capsys):
    (folder / "t.csv").write_text(
        "submit,duration,job,where,tolerates,apart,over\n"
        "0,10,here,zone:a,,,\n0,10,lab,,lab,,\n0,10,one,,,k,zone\n0,10,two,,,k,zone\n0,10,three,,,k,zone\n"
    )
    agents = [
        "--agents",
        "1:slots=9,zone=a",
        "--agents",
        "1:slots=9,zone=b",
        "--agents",
        "1:slots=9,zone=b,taints=lab",
    ]
    assert simulate("t.csv", *agents, "--policy", "relevo", "--json") == 0
    assert json.loads(capsys.readouterr().out)["policies"][0]["wait"]["max"] == 10.0
    assert simulate("t.csv", "--agents", "1:slots=9,zone=b", "--policy", "relevo") == exits.BAD_INPUT
    assert (
        "here: no agent here could ever run it: agent 'slots=9,zone=b' is not zone:a"
        in capsys.readouterr().err
    )
    (folder / "node.csv").write_text("submit,duration,where\n0,10,node:agent-3\n")
    assert simulate("node.csv", "--agents", "4:slots=1", "--policy", "relevo") == 0
    assert simulate("node.csv", "--agents", "2:slots=1", "--policy", "relevo") == exits.BAD_INPUT
    assert "none of the 2 agents is node:agent-3" in capsys.readouterr().err
    # where load counts, the agent that others keep busy gets nothing
    (folder / "load.csv").write_text("submit,duration,near\n" + "0,10,\n" * 4)
    (folder / "mine.toml").write_text("[placement]\nleast-loaded = 1\n")
    busy = ["--agents", "1:slots=5,load=1,window=0", "--agents", "1:slots=5,window=0"]
    assert simulate("load.csv", *busy, "--policy", "mine.toml", "--json") == 0
    assert json.loads(capsys.readouterr().out)["policies"][0]["wait"]["max"] == 0.0


def test_curves_are_means_by_one_scale():
    assert curve([0.0, 0.0, 4.0, 4.0, 8.0, 8.0], 8.0, 3) == " ▅█"
    assert curve([1.0], 0.0, 4) == "    "


# --- the page -----------------------------------------------------------------------------------------------------------------

BLOCKS = re.findall(r"```(\S+)\n(.*?)```", PAGE, re.DOTALL)


def test_what_the_page_shows_is_so(folder, capsys):
    """Files are written as it shows them, commands run, and what they print compared where it shows that."""
    files = re.findall(r"`(\w+\.(?:csv|jsonl))`:\n\n```(?:csv|json)\n(.*?)```", PAGE, re.DOTALL)
    assert len(files) >= 2
    for name, text in files:
        (folder / name).write_text(text)
    ran = compared = 0
    for language, text in BLOCKS:
        if language != "console":
            continue
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            words = shlex.split(line, comments=True)
            assert words[:2] == ["relevo", "simulate"]
            if "--from-home" in words:
                continue  # there is no home here: tests/e2e has one
            assert simulate(*words[2:]) == 0, line
            ran += 1
            out, err = capsys.readouterr()
            if shown.strip():
                compared += 1
                assert (out + err).rstrip() == shown.rstrip(), line
    assert ran >= 4
    assert compared >= 2


def test_the_page_names_all_columns_and_options():
    from relevo.scheduler.simulation.policies import names
    from relevo.scheduler.simulation.trace import COLUMNS

    for name in (*COLUMNS, *names()):
        assert f"`{name}`" in PAGE
    command = group().get_command(None, "simulate")  # type: ignore[arg-type]
    for option in command.params:
        if option.opts[0].startswith("--"):
            assert option.opts[0] in PAGE, option.opts
