"""The commands against a server: a `relevo up` of its own, with a home of its own, asked over loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import RELEVO, User


class Server:
    """A `relevo up` that can be killed, and comes back at the same address."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "server"
        self.log = folder / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = folder

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    def start(self) -> None:
        env = {**os.environ, "RELEVO_HOME": str(self.home)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*RELEVO, "up", "--port", str(self.port), "--jobs", "2"],
                cwd=self.folder,
                env=env,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if b"API" in line:
                return
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        """Leave as it is asked to: an agent that has nothing to do leaves, too."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)


@pytest.fixture
def server(user: User, tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    user.env |= {
        "RELEVO_SERVER": server.url,
        "RELEVO_TOKEN": server.token,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    yield server
    server.stop()
    assert not (tmp_path / "home").exists(), "something was done here instead of there"


LOCAL = {"RELEVO_SERVER": "", "RELEVO_TOKEN": ""}

MANY = """
name: Many things
on: [push, workflow_dispatch]
jobs:
  first:
    runs-on: ubuntu-latest
    outputs: {said: "${{ steps.say.outputs.said }}"}
    steps:
      - uses: actions/checkout@v4
      - id: say
        run: |
          cat data.txt
          echo "::warning file=data.txt,line=2::look at this"
          echo "secret ${{ secrets.TOKEN }}"
          echo "said=hello" >> $GITHUB_OUTPUT
          echo "# Summary" >> $GITHUB_STEP_SUMMARY
      - uses: ./tools/greet
  matrix:
    needs: first
    strategy: {max-parallel: 1, matrix: {n: [1, 2]}}
    runs-on: ubuntu-latest
    steps:
      - run: printf '${{ needs.first.outputs.said }} \\377 ${{ matrix.n }}'
  called:
    needs: matrix
    uses: ./.github/workflows/called.yml
  fails:
    needs: called
    runs-on: ubuntu-latest
    steps:
      - run: exit 3
"""
CALLED = "on: workflow_call\njobs:\n  in:\n    runs-on: ubuntu-latest\n    steps: [{run: echo called}]\n"
GREET = "runs: {using: composite, steps: [{run: echo greetings, shell: bash}]}\n"
SECRET = "a-value-that-nobody-else-has"


def _project(user: User) -> None:
    files = {
        ".github/workflows/many.yml": MANY,
        ".github/workflows/called.yml": CALLED,
        "tools/greet/action.yml": GREET,
        "data.txt": "one\ntwo\n",
    }
    for name, text in files.items():
        (user.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (user.tree / name).write_text(text)


def _plain(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events without what differs between any two runs."""
    told = [
        {key: value for key, value in event.items() if key not in ("run", "seq", "at")}
        for event in events
        if event.get("event") != "job.starting"  # only told where it takes a moment
    ]
    for event in told:
        for job in (event.get("jobs") or {}).values():
            for key in [key for key in job if key.endswith("_ms")]:
                del job[key]
        event.pop("took_ms", None)
    return told


def test_a_run_elsewhere_tells_what_a_run_here_tells(user: User, server: Server, tmp_path: Path) -> None:
    _project(user)
    here = {**LOCAL, "RELEVO_HOME": str(tmp_path / "here"), "TOKEN": SECRET}
    there = {"TOKEN": SECRET}

    def both(*args: str) -> tuple[Any, Any]:
        local, remote = user.relevo(*args, env=here), user.relevo(*args, env=there)
        assert local.code == remote.code, (local.err, remote.err)
        return local, remote

    local, remote = both("run", "many", "--secret", "TOKEN", "--json")
    assert local.code == 1
    assert _plain(remote.events) == _plain(local.events)
    ids = (local.run, remote.run)
    for args in (("show",), ("logs",), ("logs", "first"), ("logs", "matrix (1)", "--raw"), ("runs",)):
        one, other = both(*args)
        texts = [
            re.sub(rb"\b\d[\d.:]*(?:m\d\ds| ?m?s)?\b", b"N", done.out.replace(run.encode(), b"RUN"))
            for done, run in zip((one, other), ids, strict=True)
        ]
        assert [text.split() for text in texts[:1]] == [text.split() for text in texts[1:]]
    one, other = both("logs", "matrix (2)", "--raw")
    assert one.out == other.out == b"hello \xff 2"
    for args in (
        ("run", "nobody.yml"),
        ("run", "many", "--job", "nobody"),
        ("run", "many", "--event", "schedule"),
        ("logs", "nobody"),
        ("show", "nobody"),
        ("cancel", "nobody"),
        ("retry", "--failed"),
        ("fail", "--job", "first"),
    ):
        one, other = both(*args)
        assert one.code == 2
        assert other.err.replace(ids[1], "RUN") == one.err.replace(ids[0], "RUN")
    stored = b"".join(path.read_bytes() for path in server.home.rglob("*") if path.is_file())
    for text in (server.log.read_bytes(), stored, remote.out, remote.err.encode()):
        assert SECRET.encode() not in text


def test_every_command_works_there(user: User, server: Server) -> None:
    user.workflow("""on: workflow_dispatch
jobs:
  ok: {runs-on: ubuntu-latest, steps: [{run: "[ -e $WITNESS ]"}]}
""")
    assert user.relevo("runs").out == b"no runs yet: `relevo run` starts one\n"
    assert b"nothing to resume" in user.relevo("resume").out
    failed = user.relevo("run", "w.yml", "--json")
    assert (failed.code, failed.last["status"]) == (1, "failed")
    user.witness.touch()
    again = user.relevo("retry", "--failed", "--json")
    assert (again.code, again.last["status"]) == (0, "succeeded")
    rows = [json.loads(line) for line in user.relevo("runs", "--json").out.splitlines()]
    assert [(row["run"], row["retried_from"], row["delivered"]) for row in rows] == [
        (again.run, failed.run, True),
        (failed.run, None, True),
    ]
    assert json.loads(user.relevo("show", again.run[:-2], "--json").out)["status"] == "succeeded"
    assert any(actor["path"] for actor in json.loads(user.relevo("actors", "--json").out))
    assert b"relevo_runs_accepted_total 2" in user.relevo("metrics").out
    offered = user.relevo(
        env={"_RELEVO_COMPLETE": "bash_complete", "COMP_WORDS": "relevo show ", "COMP_CWORD": "2"}
    )
    assert again.run in offered.out.decode()
    user.workflow("on: push\njobs:\n  long: {runs-on: ubuntu-latest, steps: [{run: exec sleep 600}]}\n")
    process = user.start("run", "w.yml", "--json")
    run = user.await_event(process, lambda event: event["event"] == "step.started")["run"]
    cancelled = user.relevo("cancel", run, "--json")
    assert json.loads(cancelled.out)["status"] == "cancelled"
    assert process.wait(timeout=60) == 130
    pruned = user.relevo("prune")
    assert (pruned.code, server.url in pruned.err) == (2, True)
    told = user.relevo("run", "w.yml", "-j", "3")
    assert (told.code, "--jobs" in told.err) == (2, True)


def test_a_held_job_is_decided_from_elsewhere(user: User, server: Server) -> None:
    user.workflow("""on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - relevo: {idempotent: false}
        run: echo deployed >> $WITNESS; test $(wc -l < $WITNESS) -ge 2 || exec sleep 600
""")
    process = user.start("run", "w.yml", "--json")
    user.await_event(process, lambda event: event["event"] == "step.started")
    user.until(lambda: user.witness.exists() and user.witness.read_text() == "deployed\n")
    agent = json.loads((server.home / "agents/local/agent.json").read_text())[0]
    os.kill(agent, signal.SIGKILL)
    assert process.wait(timeout=60) == 3
    assert user.relevo("retry", "--job", "nobody").code == 2
    assert user.relevo("retry", "--job", "deploy").code == 0
    assert user.witness.read_text() == "deployed\n" * 2
    told = user.relevo("fail", "--job", "deploy")
    assert (told.code, "has ended: succeeded" in told.err) == (2, True)


def test_a_server_that_is_killed_is_waited_for(user: User, server: Server, tmp_path: Path) -> None:
    lines = 400
    user.workflow(f"""on: push
jobs:
  talks:
    runs-on: ubuntu-latest
    steps:
      - run: for i in $(seq {lines}); do echo line $i; sleep 0.01; done
      - run: echo over
""")
    process = user.start("run", "w.yml", "--json")
    assert process.stdout is not None
    events: list[dict[str, Any]] = []
    while not events or events[-1]["event"] != "step.started":
        events.append(json.loads(process.stdout.readline()))
    run = events[0]["run"]
    logs = user.start("logs", "-f", run, "talks", "--raw")
    plain = subprocess.Popen(
        [*RELEVO, "resume", run, "--plain"], cwd=user.tree, env=user.env, stdout=subprocess.PIPE
    )
    user.started.append(plain)
    assert logs.stdout is not None
    assert plain.stdout is not None
    shown = b""
    while b"line 1" not in shown:
        shown += plain.stdout.readline()
    read = b"".join(logs.stdout.readline() for _ in range(30))
    for _ in range(2):
        server.kill()
        server.start()
        read += b"".join(logs.stdout.readline() for _ in range(60))
    events += map(json.loads, process.stdout.read().splitlines())
    assert process.wait(timeout=60) == 0
    assert events[-1]["jobs"]["talks"]["attempts"] == 1
    rest = logs.stdout.read()
    assert logs.stderr is not None
    assert (logs.wait(timeout=60), logs.stderr.read()) == (0, b"")
    whole = b"".join(b"line %d\n" % number for number in range(1, lines + 1)) + b"over\n"
    assert read + rest == whole
    shown += plain.stdout.read()
    assert re.findall(rb"line (\d+)", shown) == [b"%d" % number for number in range(1, lines + 1)]
    assert user.relevo("resume", run, "--json").events[:-1] == events[:-1]


# --- what stands against it -----------------------------------------------------------------------------------------


def _refused(user: User, *words: str, env: dict[str, str], args: tuple[str, ...] = ("runs",)) -> None:
    done = user.relevo(*args, env=env)
    assert done.code == 2, done.err
    for word in words:
        assert word in done.err, done.err


def test_the_token_is_kept_by_login_and_forgotten_by_logout(
    user: User, server: Server, tmp_path: Path
) -> None:
    out = {"RELEVO_TOKEN": ""}
    _refused(user, f"{server.url} wants a token", f"relevo login {server.url}", env=out)
    _refused(user, "the token is not the one", "relevo login", env={"RELEVO_TOKEN": "rlv_wrong"})
    (tmp_path / "token").write_text(f"{server.token}\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("rlv_wrong")
    _refused(user, "is not the one", "RELEVO_HOME", env=out, args=("login", "--token-file", str(wrong)))
    assert not (tmp_path / "config" / "relevo").exists()
    done = user.relevo("login", f"{server.url}/", "--token-file", str(tmp_path / "token"), env=out)
    assert (done.code, done.err) == (0, "")
    assert server.url in done.out.decode()
    kept = tmp_path / "config" / "relevo" / "tokens.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert user.relevo("runs", env=out).code == 0
    kept.chmod(0o644)
    _refused(user, "can be read by others", "chmod 600", env=out)
    kept.chmod(0o600)
    assert b"is forgotten" in user.relevo("logout", env=out).out
    assert b"there is no token" in user.relevo("logout", env=out).out
    _refused(user, "wants a token", env=out)
    piped = subprocess.run(
        [*RELEVO, "login"],
        input=server.token.encode(),
        env={**user.env, **out},
        capture_output=True,
        check=True,
    )
    assert b"logged in" in piped.stdout
    assert server.token not in user.relevo("runs", env=out).err


class _Strange(BaseHTTPRequestHandler):
    """Answers GET /api/v1/server with what the test wants."""

    told: Any = None

    def do_GET(self) -> None:
        body = self.told if isinstance(self.told, bytes) else json.dumps(self.told).encode()
        self.send_response(302 if body == b"elsewhere" else 200)
        self.send_header("location", "https://elsewhere.example/")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def strange(user: User, tmp_path: Path) -> Iterator[HTTPServer]:
    user.env |= {"RELEVO_TOKEN": "rlv_some", "XDG_CONFIG_HOME": str(tmp_path / "config")}
    server = HTTPServer(("127.0.0.1", 0), _Strange)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_who_is_no_server_of_ours_is_named(user: User, strange: HTTPServer) -> None:
    url = f"http://127.0.0.1:{strange.server_port}"
    here = {"version": "0.0.1", "live": 0}
    for told, *words in (
        (b"<html>", url, "no relevo server"),
        ({"hello": 1}, url, "no relevo server"),
        (b"elsewhere", url, "https://elsewhere.example/", "RELEVO_SERVER"),
        (here, url, "older than this program", "0.0.1", "upgrade the server"),
        ({**here, "api": 9, "api_oldest": 9}, url, "this program is older", "upgrade relevo here"),
    ):
        _Strange.told = told
        _refused(user, *words, env={"RELEVO_SERVER": url})
    _Strange.told = {**here, "api": 9, "api_oldest": 1}
    done = user.relevo("runs", env={"RELEVO_SERVER": f"https://127.0.0.1:{strange.server_port}"})
    assert (done.code, "does not speak TLS" in done.err, "http://" in done.err) == (2, True, True)


def test_what_is_no_address_is_told(user: User, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        _refused(
            user,
            f"nobody answers at http://127.0.0.1:{port}",
            "relevo up",
            env={"RELEVO_SERVER": f"127.0.0.1:{port}"},
        )
    for address, word in (
        ("ftp://127.0.0.1", "no address"),
        ("http://me:secret@127.0.0.1", "holds no user"),
        ("http://127.0.0.1:99999", "no address"),
        ("http://", "no address"),
    ):
        _refused(user, word, env={"RELEVO_SERVER": address})
    done = user.relevo("runs", env={"RELEVO_SERVER": "http://nowhere.invalid"})
    assert done.code == 2
    assert "is not encrypted" in done.err
    assert "nobody answers at http://nowhere.invalid" in done.err


def test_a_certificate_that_nobody_vouches_for_is_told(
    user: User, strange: HTTPServer, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("there is no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    strange.socket = context.wrap_socket(strange.socket, server_side=True)
    _Strange.told = {"version": "9", "live": 0, "api": 9, "api_oldest": 9}
    url = f"https://localhost:{strange.server_port}"
    _refused(user, f"the certificate of {url} cannot be trusted", "SSL_CERT_FILE", env={"RELEVO_SERVER": url})
    trusted = {"RELEVO_SERVER": url, "SSL_CERT_FILE": str(certificate)}
    _refused(user, "this program is older", env=trusted)
    plain = {"RELEVO_SERVER": url.replace("https", "http")}
    _refused(user, "does not answer as a server would", "https://", env=plain)
