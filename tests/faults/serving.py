"""A `relevo up` as a process, and what is asked of it."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

from tests.faults.world import Command, World, until

WORKFLOW = """
on: push
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo begun; echo begun >> {witness}
          while [ ! -e {gate} ]; do sleep 0.02; done
          echo done; echo done >> {witness}
"""


class Server:
    """A `relevo up`, and what is asked of it."""

    def __init__(self, world: World, *argv: str) -> None:
        self.world = world
        self.command: Command = world.start("up", "--port", "0", *argv)
        found = until(lambda: re.search(r"(http://127\.0\.0\.1:\d+)/", self.command.text), "it answers")
        self.url = found.group(1)

    @property
    def token(self) -> str:
        return (self.world.home / "token").read_text().strip()

    def __call__(self, method: str, path: str, given: Any = None, **headers: str) -> tuple[int, Any]:
        told = {"Authorization": f"Bearer {self.token}"}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = None
        if given is not None:
            body = json.dumps(given).encode()
            told["Content-Type"] = "application/json"
        request = urllib.request.Request(f"{self.url}{path}", body, told, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, _read(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _read(error.read())

    def submit(self, key: str = "", text: str | None = None) -> tuple[int, str]:
        text = text or WORKFLOW.format(witness=self.world.witness, gate=self.world.gate)
        headers = {"Idempotency_Key": key} if key else {}
        status, told = self("POST", "/api/v1/runs", {"workflow": {"path": "w.yml", "text": text}}, **headers)
        return status, told["run"]

    def ended(self, run: str) -> dict[str, Any]:
        def found() -> Any:
            told = self("GET", f"/api/v1/runs/{run}")[1]
            return told if told["ended_ms"] is not None else None

        return dict(until(found, f"run {run} ends"))

    def begun(self) -> None:
        until(lambda: self.world.witness.exists(), "the step begins")


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body
