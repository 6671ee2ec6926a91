"""Metrics as OpenMetrics 1.0 text, which Prometheus reads."""

from __future__ import annotations

from typing import Final

from relevo.core.metrics import Counter, Gauge, Registry

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def render(registry: Registry) -> str:
    """All metrics of `registry`, to the end mark."""
    lines: list[str] = []
    for family in registry.families():
        lines.append(f"# TYPE {family.name} {family.kind}")
        if family.unit and family.name.endswith(f"_{family.unit}"):
            lines.append(f"# UNIT {family.name} {family.unit}")
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        for values, child in family.children():
            pairs = [
                f'{name}="{_escaped(value)}"' for name, value in zip(family.label_names, values, strict=True)
            ]
            labels = _braced(pairs)
            if isinstance(child, Counter):
                lines.append(f"{family.name}_total{labels} {_number(child.value)}")
            elif isinstance(child, Gauge):
                lines.append(f"{family.name}{labels} {_number(child.value)}")
            else:
                count = 0
                for bound, count in child.octaves():
                    bucket = _braced([*pairs, f'le="{_number(bound)}"'])
                    lines.append(f"{family.name}_bucket{bucket} {count}")
                lines.append(f"{family.name}_count{labels} {count}")
                lines.append(f"{family.name}_sum{labels} {_number(child.sum)}")
    lines.append("# EOF\n")
    return "\n".join(lines)


def _braced(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    if value == float("-inf"):
        return "-Inf"
    return str(value)
