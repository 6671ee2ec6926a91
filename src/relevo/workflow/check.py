"""Compares a tree of nodes with the language: unknown keys, wrong kinds, expressions that cannot be.

Everything found in one pass; a wrong part is reported once and not looked into further.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from relevo.workflow import templates
from relevo.workflow.diagnostics import closest, did_you_mean
from relevo.workflow.expression_check import check_condition, check_expressions, check_text
from relevo.workflow.findings import Findings
from relevo.workflow.grammar import (
    Anything,
    Condition,
    Fields,
    Flag,
    Items,
    Nothing,
    Number,
    OneOf,
    Shape,
    Text,
)
from relevo.workflow.nodes import Mapping, Node, Scalar, Sequence

_NONE: Final[frozenset[str]] = frozenset()


def check(node: Node, shape: Shape, findings: Findings) -> None:
    """Add all that is wrong with a node of this shape."""
    _check(node, shape, _NONE, findings)


def _check(node: Node, shape: Shape, allowed: frozenset[str], findings: Findings) -> None:
    names: tuple[str, ...] = getattr(shape, "names", ())
    if names:
        allowed = allowed.union(names)
    if isinstance(shape, OneOf):
        _check_one_of(node, shape, allowed, findings)
    elif isinstance(shape, Anything):
        _check_anything(node, allowed, findings)
    elif isinstance(node, Scalar):
        _check_scalar(node, shape, allowed, findings)
    elif isinstance(node, Sequence):
        if isinstance(shape, Items):
            for item in node.items:
                _check(item, shape.item, allowed, findings)
        else:
            findings.add(node, f"expected {_wanted(shape)}, not a list")
    elif isinstance(node, Mapping):
        if isinstance(shape, Fields):
            _check_fields(node, shape, allowed, findings)
        else:
            findings.add(node, f"expected {_wanted(shape)}, not a mapping")


def _check_one_of(node: Node, shape: OneOf, allowed: frozenset[str], findings: Findings) -> None:
    options = shape.options
    if isinstance(node, Mapping):
        fitting: list[Shape] = [option for option in options if isinstance(option, Fields)]
        for option in fitting:
            if isinstance(option, Fields) and option.required and node.key(option.required[0]) is not None:
                _check(node, option, allowed, findings)
                return
        if len(fitting) > 1 and (problem := _undecided(fitting)):
            message, hint = problem
            findings.add(node, message, lambda: _misspelt(node, fitting) or hint)
            return
    elif isinstance(node, Sequence):
        fitting = [option for option in options if isinstance(option, Items)]
    else:
        assert isinstance(node, Scalar)
        if templates.OPEN in node.text:
            fitting = [option for option in options if not isinstance(option, Nothing)]
            fitting.sort(key=lambda option: not isinstance(option, (Text, Flag, Number)))
        else:
            fitting = [option for option in options if _fits(node, option)]
    if fitting:
        _check(node, fitting[0], allowed, findings)
        return
    for option in options:  # a text with choices says best what was wanted
        if isinstance(option, Text) and isinstance(node, Scalar):
            _check(node, option, allowed, findings)
            return
    wanted = " or ".join(dict.fromkeys(map(_wanted, options)))
    findings.add(node, f"expected {wanted}, not {_found(node)}")


def _undecided(options: Iterable[Shape]) -> tuple[str, str] | None:
    # none of the keys that tell the options apart is there
    keys = [option.required[0] for option in options if isinstance(option, Fields) and option.required]
    if keys[:2] == ["uses", "run"]:
        return "a step needs `run` or `uses`", "add `run:` with a script, or `uses:` with an action"
    if keys == ["uses", "runs-on"]:
        return "a job needs `runs-on`", "add `runs-on: ubuntu-latest`"
    return None


def _misspelt(node: Mapping, options: Iterable[Shape]) -> str | None:
    # a key that no option has, but that is like one of theirs
    known = {name for option in options if isinstance(option, Fields) for name in option.known}
    for key, _ in node.entries:
        if key.text not in known and (close := closest(key.text, known)):
            return f"did you mean `{close}` by '{key.text}' in line {key.line}?"
    return None


def _fits(node: Scalar, shape: Shape) -> bool:
    value = node.value
    if isinstance(shape, Nothing):
        return value is None
    if isinstance(shape, Flag):
        return isinstance(value, bool)
    if isinstance(shape, Number):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(shape, Text):
        return value is not None or not shape.filled
    return isinstance(shape, Items) and shape.single and value is not None


def _check_scalar(node: Scalar, shape: Shape, allowed: frozenset[str], findings: Findings) -> None:
    if isinstance(shape, Condition):
        check_condition(node, allowed, findings)
    elif templates.OPEN in node.text and isinstance(node.value, str):
        _check_template(node, shape, allowed, findings)
    elif isinstance(shape, Text):
        _check_text(node, shape, findings)
    elif isinstance(shape, Items) and shape.single and node.value is not None:
        _check(node, shape.item, allowed, findings)
    elif isinstance(shape, Number) and _fits(node, shape):
        if shape.least is not None and node.value < shape.least:
            findings.add(node, f"expected a number of at least {shape.least:g}, not {node.text}")
        elif shape.whole and isinstance(node.value, float):
            findings.add(node, f"expected a whole number, not {node.text}")
    elif not _fits(node, shape):
        hint = None
        if isinstance(shape, (Flag, Number)) and isinstance(node.value, str) and _unquoted(node, shape):
            hint = "leave the quotes out"
        findings.add(node, f"expected {_wanted(shape)}, not {_found(node)}", hint)


def _unquoted(node: Scalar, shape: Shape) -> bool:
    from relevo.workflow.nodes import resolve

    return _fits(Scalar(node.line, node.column, 1, resolve(node.text), node.text), shape)


def _check_text(node: Scalar, shape: Text, findings: Findings) -> None:
    text = "" if node.value is None else node.text
    if shape.choices:
        if text not in shape.choices:
            said = f"'{text}' is not {shape.says} known here" if text else f"expected {shape.says}"
            findings.add(node, said, partial(did_you_mean, text, shape.choices))
    elif shape.filled and not text:
        findings.add(node, f"expected {shape.says}, not an empty value")
    elif shape.rule is not None and (problem := shape.rule(text)):
        findings.add(node, problem)


def _check_template(node: Scalar, shape: Shape, allowed: frozenset[str], findings: Findings) -> None:
    parts = check_text(node, allowed, findings)
    if parts is not None and len(parts) > 1 and not isinstance(shape, Text):
        findings.add(node, f"expected {_wanted(shape)}, not a text with expressions in it")


def _check_anything(node: Node, allowed: frozenset[str], findings: Findings) -> None:
    if isinstance(node, Scalar):
        if templates.OPEN in node.text and isinstance(node.value, str):
            _check_template(node, Text(), allowed, findings)
    elif isinstance(node, Sequence):
        for item in node.items:
            _check_anything(item, allowed, findings)
    elif isinstance(node, Mapping):
        _check_keys(node, findings)
        for key, value in node.entries:
            if templates.OPEN in key.text and not templates.is_insert(key.text):
                check_expressions(key, allowed, findings)
            _check_anything(value, allowed, findings)


def _check_fields(node: Mapping, shape: Fields, allowed: frozenset[str], findings: Findings) -> None:
    repeated = _check_keys(node, findings)
    if shape.filled and not node.entries:
        findings.add(node, f"{shape.what} holds nothing")
    known = shape.known
    for key, value in node.entries:
        if repeated and any(key is again for again in repeated):
            continue
        name = key.text
        field = known.get(name)
        if field is not None:
            _check(value, field, allowed, findings)
        elif templates.OPEN in name and (shape.key_expressions or shape.others is not None):
            if templates.is_insert(name) and allowed:
                _check(value, Anything(), allowed, findings)
            elif not allowed:
                findings.add(key, "expressions (${{ }}) are not available here")
            elif check_expressions(key, allowed, findings) is not None:
                _check(value, shape.others or Anything(), allowed, findings)
        elif shape.others is not None:
            _check_other_key(key, shape, findings)
            _check(value, shape.others, allowed, findings)
        else:
            findings.add(key, f"unknown key '{name}' in {shape.what}", partial(did_you_mean, name, known))
    for name in shape.required:
        if node.key(name) is None:
            findings.add(node, f"{shape.what} needs the key `{name}`")


def _check_other_key(key: Scalar, shape: Fields, findings: Findings) -> None:
    if not key.text:
        findings.add(key, f"a key of {shape.what} is empty")
    elif shape.key_rule is not None and (problem := shape.key_rule(key.text)):
        findings.add(key, problem)


def _check_keys(node: Mapping, findings: Findings) -> list[Scalar]:
    # reports keys that stand in a mapping before, and gives them back
    repeated: list[Scalar] = []
    seen: dict[str, Scalar] = {}
    for key, _ in node.entries:
        name = key.text.lower()
        first = seen.setdefault(name, key)
        if first is not key:
            repeated.append(key)
            findings.add(
                key,
                f"the key '{key.text}' stands here twice",
                f"the first one is in line {first.line}"
                + ("; case makes no difference" if first.text != key.text else ""),
            )
    return repeated


def _wanted(shape: Any) -> str:
    if isinstance(shape, Text):
        return shape.says
    if isinstance(shape, Flag):
        return "true or false"
    if isinstance(shape, Number):
        return "a number"
    if isinstance(shape, Nothing):
        return "nothing"
    if isinstance(shape, Items):
        return f"{_wanted(shape.item)} or a list" if shape.single else "a list"
    if isinstance(shape, Fields):
        return "a mapping"
    return "a condition" if isinstance(shape, Condition) else "a value"


def _found(node: Node) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    assert isinstance(node, Scalar)
    if node.value is None:
        return "an empty value"
    kind = "the text " if isinstance(node.value, str) else ""
    return f"{kind}'{node.text.splitlines()[0][:60] if node.text else ''}'"
