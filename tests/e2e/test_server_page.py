"""The examples of docs/server.md, as somebody types them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from tests.faults.serving import Server
from tests.faults.world import World

PAGE = Path(__file__).parents[2] / "docs" / "server.md"


def test_the_examples_do_what_is_said(tmp_path: Path) -> None:
    if subprocess.run(["curl", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("curl is not installed")
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    told: list[str] = []
    with World() as world:
        server = Server(world)
        for block in (block for block in blocks if "curl" in block):
            for command in filter(None, re.split(r"\n(?=curl)", block)):
                done = subprocess.run(
                    ["bash", "-ec", command],
                    env={"PATH": "/usr/bin:/bin", "URL": server.url, "TOKEN": server.token},
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=True,
                )
                assert '"status":4' not in done.stdout, (command, done.stdout)
                told.append(done.stdout)
        about, accepted, events, log, lines, found, cancelled, again = told
        assert json.loads(about)["live"] == 0
        run = json.loads(accepted)["run"]
        assert f'"run":"{run}"' in events
        assert "event: run.finished" in events
        assert log == "hello\n"
        assert [line["text"] for line in json.loads(lines)["lines"]] == ["hello"]
        assert json.loads(found)["matches"] == [{"line": 0, "column": 0, "text": "hello"}]
        assert cancelled == ""
        assert json.loads(again)["run"] != run
        server.ended(json.loads(again)["run"])
