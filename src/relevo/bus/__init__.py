"""Stored events on their way to whoever follows: console, command line, telemetry. Never a source of truth."""
