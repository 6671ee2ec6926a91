"""Spans as the OpenTelemetry SDK sends them: OTLP over HTTP, as the standard variables say.

Importing this module imports the SDK: most of a second. Only export.py does so, in its thread, when there is a receiver.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from relevo import __version__
from relevo.telemetry.export import Unreachable
from relevo.telemetry.spans import Span, Trace, attributes

_SCOPE: Final = InstrumentationScope("relevo", __version__)
_FLAGS: Final = TraceFlags(TraceFlags.SAMPLED)
_PORTS: Final = {"http": 80, "https": 443}
#: How long a knock is waited for: a packet that is lost is sent again after one second, and after two more.
_KNOCK_S: Final = 4.0


class OtlpSender:
    """See `export.Sender`."""

    def __init__(self, endpoint: str, environment: Mapping[str, str]) -> None:
        """`endpoint`: where the variables lead, to knock at. Raises ValueError for variables that say nothing sensible."""
        self._exporter = OTLPSpanExporter()
        self._knocks_at = None if _through_a_proxy(environment) else _address(endpoint)
        named = "OTEL_SERVICE_NAME" in environment or "service.name" in environment.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        own = {SERVICE_VERSION: __version__} | ({} if named else {SERVICE_NAME: "relevo"})
        self._resource = Resource.create(own)

    def send(self, trace: Trace, spans: Sequence[Span]) -> bool:
        self._knock()
        made = [readable(trace, span, self._resource) for span in spans]
        return self._exporter.export(made) is SpanExportResult.SUCCESS

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK's own gap

    def _knock(self) -> None:
        """The exporter tries for ten seconds where nobody is; that nobody is shows at once."""
        if self._knocks_at is None:
            return
        try:
            socket.create_connection(self._knocks_at, _KNOCK_S).close()
        except OSError as error:
            raise Unreachable(error.strerror or str(error)) from None


def readable(trace: Trace, span: Span, resource: Resource) -> ReadableSpan:
    """A span as the SDK has it."""
    above = span.parent.id if span.parent is not None else trace.parent_id
    state = TraceState.from_header([trace.state]) if trace.state else None
    return ReadableSpan(
        _name(span),
        _context(trace.trace_id, span.id, state),
        _context(trace.trace_id, above, state) if above else None,
        resource,
        dict(attributes(trace, span)),
        [Event(moment.name, moment.attributes, moment.at_ms * 1_000_000) for moment in span.moments],
        [Link(_context(*span.link), {"relevo.link": "retry"})] if span.link is not None else (),
        SpanKind.SERVER if span.kind == "run" else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, span.message or None) if span.failed else Status(),
        start_time=span.start_ms * 1_000_000,
        end_time=span.end_ms * 1_000_000,
        instrumentation_scope=_SCOPE,
    )


def _name(span: Span) -> str:
    return f"RUN {span.name}" if span.kind == "run" else span.name


def _context(trace_id: str, span_id: str, state: TraceState | None = None) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), False, _FLAGS, state)


def _address(endpoint: str) -> tuple[str, int] | None:
    found = urlsplit(endpoint)
    port = found.port or _PORTS.get(found.scheme)
    return (found.hostname, port) if found.hostname and port else None


def _through_a_proxy(environment: Mapping[str, str]) -> bool:
    return any(
        name.lower() in ("http_proxy", "https_proxy", "all_proxy") and environment[name]
        for name in environment
    )
