"""Values of a workflow that hold expressions, evaluated.

A text that is one `${{ }}` and nothing else becomes the expression's value; any other text with expressions becomes
a text. A condition may stand bare or in `${{ }}`, and means `success() && (…)` unless it asks for the status itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from relevo.workflow.expressions import Expression, ExpressionError, Scope, Value, compile, to_text, truthy
from relevo.workflow.expressions.functions import MAX_TEXT

OPEN: Final = "${{"
CLOSE: Final = "}}"
#: As a mapping's key: the entries of the value, a mapping, are put in its place.
INSERT: Final = "insert"


def evaluate(value: Value, scope: Scope) -> Value:
    """A value with every expression in it replaced by what it yields, in lists and mappings (keys too) all the way down.

    Raises ExpressionError.
    """
    if isinstance(value, str):
        return _template(value)(scope) if OPEN in value else value
    if isinstance(value, dict):
        return _evaluate_mapping(value, scope)
    if isinstance(value, list):
        return [evaluate(item, scope) for item in value]
    return value


def evaluate_text(value: Value, scope: Scope) -> str:
    """A value evaluated, as text: null is '', an array 'Array', an object 'Object'. Raises ExpressionError."""
    if isinstance(value, str):
        return to_text(_template(value)(scope)) if OPEN in value else value
    return to_text(value)


def evaluate_condition(source: str | None, scope: Scope) -> bool:
    """Whether an `if:` holds; None and blank ask for success(). Raises ExpressionError."""
    if source is None:
        return scope.success
    condition, asks_status = _condition(source)
    if not asks_status and not scope.success:
        return False
    return truthy(condition.evaluate(scope))


def has_expression(value: Value) -> bool:
    """Whether anything in a value needs evaluation."""
    if isinstance(value, str):
        return OPEN in value
    if isinstance(value, dict):
        return any(OPEN in key or has_expression(item) for key, item in value.items())
    return isinstance(value, list) and any(map(has_expression, value))


def _evaluate_mapping(mapping: dict[str, Value], scope: Scope) -> dict[str, Value]:
    evaluated: dict[str, Value] = {}
    for key, item in mapping.items():
        if OPEN not in key:
            evaluated[key] = evaluate(item, scope)
        elif is_insert(key):
            inserted = evaluate(item, scope)
            if not isinstance(inserted, dict):
                raise ExpressionError(
                    f"'{key}' inserts a mapping, its value is none", stage="evaluation", source=key
                )
            evaluated.update(inserted)
        else:
            evaluated[evaluate_text(key, scope)] = evaluate(item, scope)
    return evaluated


def is_insert(key: str) -> bool:
    """Whether a key is `${{ insert }}`."""
    stripped = key.strip()
    return stripped.startswith(OPEN) and stripped.endswith(CLOSE) and stripped[3:-2].strip() == INSERT


def segments(text: str) -> list[str | Expression]:
    """A text cut into literal parts and expressions, in order. Raises ExpressionError."""
    return [part if isinstance(part, str) else compile(part.source) for part in pieces(text)]


class Piece(NamedTuple):
    """An expression in a text, not yet compiled."""

    source: str  #: without blanks around it
    number: int  #: which `${{` of the text it belongs to, from 0


def pieces(text: str) -> Iterator[str | Piece]:
    """A text cut into literal parts and the sources of expressions, in order. Raises ExpressionError where one is not closed."""
    position = number = 0
    while True:
        start = text.find(OPEN, position)
        if start < 0:
            if position < len(text):
                yield text[position:]
            return
        if start > position:
            yield text[position:start]
        end = _closing(text, start + len(OPEN))
        source = text[start + len(OPEN) : end]
        if not source.strip():
            raise ExpressionError("there is nothing between ${{ and }}", stage="parsing")
        yield Piece(source.strip(), number)
        number += 1 + source.count(OPEN)
        position = end + len(CLOSE)


def _closing(text: str, start: int) -> int:
    # the first }} that stands outside of quotes
    position = start
    while True:
        end = text.find(CLOSE, position)
        if end < 0:
            raise ExpressionError(
                "${{ is not closed by }}", stage="parsing", column=start - 2, source=text[start - 3 :]
            )
        quote = text.find("'", position, end)
        if quote < 0:
            return end
        unquote = text.find("'", quote + 1)
        if unquote < 0:
            raise ExpressionError(
                "a string in ${{ }} is not closed",
                stage="lexing",
                column=quote - start + 1,
                source=text[start:],
            )
        position = unquote + 1


@lru_cache(maxsize=8192)
def _template(text: str) -> Callable[[Scope], Value]:
    parts = segments(text)
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return parts[0].evaluate

    def run(scope: Scope) -> str:
        joined = "".join([part if type(part) is str else to_text(part.evaluate(scope)) for part in parts])  # type: ignore[union-attr]
        if len(joined) > MAX_TEXT:
            raise ExpressionError(f"the text is longer than {MAX_TEXT} characters", stage="evaluation")
        return joined

    return run


def condition(source: str) -> Expression:
    """The expression that an `if:` stands for, bare or in `${{ }}`; a blank one is success(). Raises ExpressionError.

    Text around `${{ }}` makes the whole a text, which is true unless it is empty: so it is on GitHub, too.
    """
    if OPEN not in source:
        return compile(source.strip() or "success()")
    parts = segments(source)
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return parts[0]
    return compile(_as_format(parts))


def has_text_around(source: str) -> bool:
    """Whether a condition is a text with `${{ }}` in it, and so always true."""
    return OPEN in source and len(segments(source)) > 1


def _as_format(parts: list[str | Expression]) -> str:
    template = ""
    arguments: list[str] = []
    for part in parts:
        if isinstance(part, Expression):
            template += f"{{{len(arguments)}}}"
            arguments.append(part.source)
        else:
            template += part.replace("{", "{{").replace("}", "}}").replace("'", "''")
    return f"format('{template}', {', '.join(arguments)})"


@lru_cache(maxsize=8192)
def _condition(source: str) -> tuple[Expression, bool]:
    expression = condition(source)
    return expression, expression.asks_status()
