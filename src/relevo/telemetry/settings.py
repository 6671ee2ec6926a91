"""Where traces go, by the standard variables of OpenTelemetry. Imports nothing: each engine asks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def endpoint(environment: Mapping[str, str]) -> str:
    """Where traces go, by the variables of OpenTelemetry; "": nowhere."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in ("otlp", ""):
        return ""
    return next((environment[name] for name in _ENDPOINTS if environment.get(name)), "")


def refusal(environment: Mapping[str, str]) -> str:
    """Why the variables cannot be followed; "": they can."""
    asked = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "http/protobuf")
    if asked != "http/protobuf":
        return f"OTEL_EXPORTER_OTLP_PROTOCOL={asked}: only http/protobuf is spoken here (port 4318 of most receivers)"
    return ""


def forget(cursor: str) -> None:
    """Nobody exports just now: what ends meanwhile is not sent later."""
    try:
        os.unlink(cursor)
    except OSError:
        pass
