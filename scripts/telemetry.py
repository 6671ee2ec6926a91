"""Writes the tables of docs/telemetry.md from the catalogue: what stands between a pair of marks there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from relevo.core.measured import REGISTRY
from relevo.telemetry.catalogue import ALWAYS, EVENTS, METRICS

PAGE: Final = Path(__file__).parents[1] / "docs" / "telemetry.md"
_TABLES: Final = re.compile(r"(<!-- (\w+): written by make docs -->\n).*?(<!-- end -->\n)", re.DOTALL)


def telemetry(page: str) -> str:
    """The page with its tables as they should be."""
    tables = {"metrics": _metrics, "events": _events}
    return _TABLES.sub(lambda mark: f"{mark[1]}\n" + "\n".join(tables[mark[2]]()) + f"\n{mark[3]}", page)


def _metrics() -> Iterator[str]:
    families = {family.name: family for family in REGISTRY.families()}
    for topic, metrics in METRICS.items():
        yield f"### {topic}\n"
        yield "| metric | kind | meaning |"
        yield "|---|---|---|"
        for name, metric in metrics.items():
            family = families[name]
            labels = [f"Label `{label}`: {values}." for label, values in metric.labels.items()]
            told = " ".join(filter(None, (family.help, metric.advice, *labels)))
            shown = f"{name}_total" if family.kind == "counter" else name
            kind = f"{family.kind}, {family.unit}" if family.unit else family.kind
            yield f"| `{shown}` | {kind} | {told} |"
        yield ""


def _events() -> Iterator[str]:
    yield "| in each event | |"
    yield "|---|---|"
    yield from (f"| `{field}` | {meaning} |" for field, meaning in ALWAYS.items())
    yield ""
    yield "| event | meaning | fields |"
    yield "|---|---|---|"
    for kind, event in EVENTS.items():
        fields = "; ".join(f"`{field}`: {meaning}" for field, meaning in event.fields.items())
        yield f"| `{kind}` | {event.meaning} | {fields.replace('|', chr(92) + '|')} |"
