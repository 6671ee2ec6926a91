"""Traces as a receiver of OpenTelemetry gets them, over real HTTP, from real engines."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.unit.telemetry.receiver import receiving

from relevo.telemetry.spans import attributes, derive

COLLECTOR = Path(__file__).parent / "collector"
GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
JOBS = """name: ci
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    strategy: {matrix: {n: [1, 2]}, fail-fast: false}
    steps:
      - run: echo "::warning file=a.py,line=3::careful"
      - run: test ${{ matrix.n }} != 2
  skipped: {needs: test, runs-on: ubuntu-latest, steps: [{run: "true"}]}
"""
SECRET = """name: ci
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - name: deploy with ${{ secrets.TOKEN }}
        run: |
          echo "::error::the token is $TOKEN"
          exit 1
        env: {TOKEN: "${{ secrets.TOKEN }}"}
"""
WAITS = """name: ci
on: push
concurrency: one
jobs:
  waits:
    runs-on: ubuntu-latest
    steps:
      - run: 'true'
      - run: while ! test -e $WITNESS.go; do sleep 0.05; done
  after: {needs: waits, runs-on: ubuntu-latest, steps: [{run: "true"}]}
"""


def derived(done):
    """What a `--json` command tells of a run, as spans by id."""
    trace = derive(done.run, [event for event in done.events if "event" in event], 0)
    assert trace.ended
    return {
        span.id: (
            trace.trace_id,
            span.parent.id if span.parent is not None else trace.parent_id,
            f"RUN {span.name}" if span.kind == "run" else span.name,
            span.start_ms * 1_000_000,
            span.end_ms * 1_000_000,
            dict(attributes(trace, span)),
            [(moment.name, moment.at_ms * 1_000_000, moment.attributes) for moment in span.moments],
            (2, span.message) if span.failed else (0, ""),
            [span.link] if span.link is not None else [],
        )
        for span in trace.spans
    }


def received(spans):
    """Spans of OTLP, in the same form."""
    return {
        span.span_id.hex(): (
            span.trace_id.hex(),
            span.parent_span_id.hex(),
            span.name,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            _values(span.attributes),
            [(event.name, event.time_unix_nano, _values(event.attributes)) for event in span.events],
            (span.status.code, span.status.message),
            [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        )
        for span in spans
    }


def _values(attributes):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def test_what_is_sent_is_what_is_derived(user):
    user.workflow(JOBS)
    with receiving() as receiver:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=here",
            "TRACEPARENT": GIVEN,
            "TRACESTATE": "a=b",
        }
        done = user.relevo("run", "w.yml", "--json", env=env)
        assert done.code == 1, done.err
        assert received(receiver.spans()) == derived(done), done.err
        assert {span.trace_state for span in receiver.spans()} == {"a=b"}
        assert receiver.headers[0]["authorization"] == "Bearer x"
        resource = receiver.resources()[0]
        assert (resource["service.name"], resource["deployment.environment.name"]) == ("relevo", "here")

        kinds = Counter(_values(span.attributes)["relevo.kind"] for span in receiver.spans())
        assert kinds == {"run": 1, "job": 3, "queue": 2, "attempt": 2, "step": 4}
        again = user.relevo("retry", "--json", env={**env, "OTEL_SERVICE_NAME": "ours"})
        assert received(receiver.spans()) == {**derived(done), **derived(again)}
        assert receiver.resources()[-1]["service.name"] == "ours"
        links = [span.links for span in receiver.spans() if _values(span.attributes)["relevo.kind"] == "run"]
        assert [link.trace_id.hex() for link in links[1]] == [GIVEN.split("-")[1]], "to what it retries"


def test_no_secret_leaves(user):
    user.workflow(SECRET)
    with receiving() as receiver:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "TOKEN": "hunter2-and-more"}
        done = user.relevo("run", "w.yml", "--json", "--secret", "TOKEN", env=env)
        assert done.code == 1
        assert {"deploy with ***"} < {span.name for span in receiver.spans()}, done.err
        assert b"the token is ***" in b"".join(receiver.bodies)
        assert b"hunter2" not in b"".join(receiver.bodies)


def test_a_run_that_another_engine_ends_is_sent_once_and_whole(user):
    user.workflow(WAITS)
    with receiving() as receiver:
        user.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.endpoint
        process = user.start("run", "w.yml", "--json")
        user.await_event(process, lambda event: event["event"] == "step.started" and event["step"] == 1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert receiver.spans() == []
        user.witness.with_suffix(".go").touch()
        done = user.relevo("resume", "--json")
        assert done.code == 0, done.err
        assert len(receiver.spans()) == len(derived(done)), "no span twice"
        assert received(receiver.spans()) == derived(done)
        again = user.relevo("run", "w.yml", "--json")
        assert again.code == 0, again.err
        assert received(receiver.spans()) == {**derived(done), **derived(again)}, again.err
        assert len(receiver.spans()) == len(derived(done)) + len(derived(again)), "nothing of it comes again"


def test_a_receiver_that_is_away_costs_a_line_and_gets_it_later(user):
    user.workflow(JOBS)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody else gets it, and nobody listens
        port = taken.getsockname()[1]
        user.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        first = user.relevo("run", "w.yml", "--json")
        assert first.code == 1
        (line,) = first.err.splitlines()
        assert line.endswith(
            f"traces do not reach http://127.0.0.1:{port}: Connection refused; they wait, runs do not"
        )
    with receiving(port) as receiver:
        second = user.relevo("run", "w.yml", "--json")
        assert received(receiver.spans()) == {**derived(first), **derived(second)}


def test_another_protocol_is_said_to_be_none_of_ours(user):
    user.workflow(JOBS)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    done = user.relevo("run", "w.yml", "--json", env=env)
    assert done.code == 1
    assert "only http/protobuf is spoken" in done.err


@pytest.mark.parametrize(
    "env", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "true"}]
)
def test_the_sdk_is_not_even_imported_where_nothing_is_sent(user, env):
    user.workflow(JOBS)
    done = user.relevo("run", "w.yml", "--json", env={**env, "PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 1
    assert "relevo.assembly.embedded" in done.err
    assert "opentelemetry" not in done.err
    assert "relevo.telemetry.export" not in done.err


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_the_collector_of_opentelemetry_takes_it(user, tmp_path):
    """The real one, built from its modules: minutes, the first time."""
    import json

    go = shutil.which("go")
    if go is None:
        pytest.skip("go is not installed: the collector cannot be built")
    program, out = tmp_path / "otelcol", tmp_path / "out.json"
    subprocess.run([go, "build", "-o", program, "."], cwd=COLLECTOR, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = (COLLECTOR / "config.yaml").read_text().replace("$PORT", str(port)).replace("$OUT", str(out))
    (tmp_path / "config.yaml").write_text(config)
    collector = subprocess.Popen(
        [program, "--config", f"file:{tmp_path}/config.yaml"], stderr=subprocess.PIPE
    )
    try:
        assert collector.stderr is not None
        for line in collector.stderr:
            if b"Everything is ready" in line:
                break
        user.workflow(JOBS)
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "TRACEPARENT": GIVEN}
        done = user.relevo("run", "w.yml", "--json", env=env)
        assert done.code == 1, done.err
    finally:
        collector.send_signal(signal.SIGTERM)
        collector.communicate(timeout=60)  # it writes what it has
    assert collector.returncode == 0
    spans = [
        span
        for line in out.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert {(span["traceId"], span["spanId"], span["parentSpanId"], span["name"]) for span in spans} == {
        (told[0], id, told[1], told[2]) for id, told in derived(done).items()
    }
    assert len(spans) == len(derived(done))
