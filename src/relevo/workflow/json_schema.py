"""The syntax of workflows, and of actions' files, as a JSON Schema (draft 2020-12), for editors. Made from `language.py` and
`language_action.py`.

Everything that the checker accepts is valid. What a schema cannot say stays with the checker: whether expressions are right,
keys that differ in case only, and what must hold between parts (rules.py).
"""

from __future__ import annotations

from typing import Any, Final

from relevo.workflow import names
from relevo.workflow.grammar import (
    Anything,
    Condition,
    Fields,
    Flag,
    Items,
    Nothing,
    Number,
    OneOf,
    Rule,
    Shape,
    Text,
)
from relevo.workflow.language import WORKFLOW
from relevo.workflow.language_action import ACTION
from relevo.workflow.language_events import CALL_INPUT, DISPATCH_INPUT

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_HOLDS_EXPRESSION: Final = r"\$\{\{"
_INSERT: Final = r"\s*\$\{\{\s*insert\s*\}\}\s*"
#: One expression and nothing else takes the place of any value.
_EXPRESSION: Final[Schema] = {"type": "string", "pattern": r"^\$\{\{[\s\S]*\}\}$"}
_PATTERNS: Final[dict[Rule, str]] = {
    names.identifier: names.IDENTIFIER,
    names.step_id: f"^(?!__){names.IDENTIFIER.removeprefix('^')}",
    names.action: names.ACTION,
    names.runs_using: names.USING,
    names.reusable_workflow: f"{names.LOCAL_WORKFLOW}|{names.REMOTE_WORKFLOW}",
}


def _default(kind: str, holds: str) -> Schema:
    return {
        "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
        "then": {"properties": {"default": {"anyOf": [{"type": [holds, "null"]}, _EXPRESSION]}}},
    }


#: What rules.py says of a mapping, as far as a schema can.
_RULES: Final[dict[int, list[Schema]]] = {
    id(CALL_INPUT): [_default(kind, kind) for kind in ("boolean", "number", "string")],
    id(DISPATCH_INPUT): [
        *(_default(kind, kind) for kind in ("boolean", "number", "string")),
        *(_default(kind, "string") for kind in ("choice", "environment")),
        {
            "if": {"properties": {"type": {"const": "choice"}}, "required": ["type"]},
            "then": {"required": ["options"], "properties": {"options": {"minItems": 1}}},
        },
    ],
}


def json_schema() -> Schema:
    """The schema of a workflow file."""
    return _schema_of(
        WORKFLOW, "A workflow", "GitHub's workflow syntax and relevo's own keys, as relevo reads them."
    )


def action_json_schema() -> Schema:
    """The schema of an action's file."""
    return _schema_of(
        ACTION,
        "An action",
        "GitHub's metadata syntax for actions and relevo's own keys, as relevo reads them.",
    )


def _schema_of(shape: Fields, title: str, description: str) -> Schema:
    making = _Making(shape)
    return {
        "$schema": DIALECT,
        "title": title,
        "description": description,
        **making.of(shape, False, "root"),
        "$defs": dict(sorted(making.definitions.items())),
    }


class _Making:
    """Shapes that stand in several places become definitions."""

    def __init__(self, root: Shape) -> None:
        self._root = root  #: the one that is no definition
        self.definitions: dict[str, Schema] = {}
        self._names: dict[tuple[int, bool], str] = {}

    def of(self, shape: Shape, expressions: bool, name: str) -> Schema:
        """The schema of a shape, where `${{ }}` may stand or not; `name` is what a definition is called."""
        expressions = expressions or bool(getattr(shape, "names", ()))
        if not isinstance(shape, (Fields, OneOf)) or shape is self._root:
            return self._made(shape, expressions, name)
        key = (id(shape), expressions)
        if key not in self._names:
            self._names[key] = self._free(name)
            self.definitions[self._names[key]] = {}  # the name is taken
            self.definitions[self._names[key]] = self._made(shape, expressions, name)
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def _free(self, name: str) -> str:
        taken, number = name, 1
        while taken in self.definitions:
            number += 1
            taken = f"{name}-{number}"
        return taken

    def _made(self, shape: Shape, expressions: bool, name: str) -> Schema:
        if isinstance(shape, Text):
            return _text(shape, expressions)
        if isinstance(shape, Condition):
            return {"type": ["string", "boolean", "number", "null"]}
        if isinstance(shape, Anything):
            return {}
        if isinstance(shape, OneOf):
            return {"anyOf": [self.of(option, expressions, name) for option in shape.options]}
        if isinstance(shape, Fields):
            made = self._fields(shape, expressions, name)
        elif isinstance(shape, Items):
            made = self._items(shape, expressions, name)
        elif isinstance(shape, Number):
            made = {"type": "integer" if shape.whole else "number"}
            if shape.least is not None:
                made["minimum"] = shape.least
        else:
            assert isinstance(shape, (Flag, Nothing))
            made = {"type": "boolean" if isinstance(shape, Flag) else "null"}
        return {"anyOf": [made, _EXPRESSION]} if expressions else made

    def _items(self, shape: Items, expressions: bool, name: str) -> Schema:
        item = self.of(shape.item, expressions, name)
        several: Schema = {"type": "array", "items": item}
        if not shape.single:
            return several
        return {"anyOf": [several, {"allOf": [item, {"type": ["string", "number", "boolean"]}]}]}

    def _fields(self, shape: Fields, expressions: bool, name: str) -> Schema:
        made: Schema = {"type": "object"}
        if shape.known:
            made["properties"] = {key: self.of(inner, expressions, key) for key, inner in shape.known.items()}
        if shape.required:
            made["required"] = list(shape.required)
        if shape.filled:
            made["minProperties"] = 1
        patterns: dict[str, Any] = {}
        inner = {} if shape.others is None else self.of(shape.others, expressions, f"{name}-value")
        if expressions and (shape.key_expressions or shape.others is not None):
            patterns[f"^{_INSERT}$"] = {}
            patterns[f"^(?!{_INSERT}$)[\\s\\S]*{_HOLDS_EXPRESSION}"] = inner
        made["additionalProperties"] = False
        if shape.others is not None:
            if shape.key_rule is not None:
                patterns[_PATTERNS[shape.key_rule]] = inner
            else:
                patterns[f"^(?![\\s\\S]*{_HOLDS_EXPRESSION})[\\s\\S]"] = inner
        if patterns:
            made["patternProperties"] = patterns
        if id(shape) in _RULES:
            made["allOf"] = _RULES[id(shape)]
        return made


def _text(shape: Text, expressions: bool) -> Schema:
    if shape.choices:
        made: Schema = {"enum": list(shape.choices)}
    elif shape.rule is not None and shape.rule in _PATTERNS:
        # true is an id, too, once it is taken as a text
        kinds = ["string", "boolean"] if shape.rule in (names.identifier, names.step_id) else ["string"]
        made = {"type": kinds, "pattern": _PATTERNS[shape.rule]}
    elif shape.filled:
        made = {"type": ["string", "number", "boolean"], "minLength": 1}
    else:
        made = {"type": ["string", "number", "boolean", "null"]}
    if not expressions:
        return made if shape.choices else {**made, "not": {"type": "string", "pattern": _HOLDS_EXPRESSION}}
    if shape.choices or shape.rule is not None:
        return {"anyOf": [made, {"type": "string", "pattern": _HOLDS_EXPRESSION}]}
    return made
