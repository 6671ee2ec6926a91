"""YAML with positions: from a file's bytes to a tree of nodes.

The tree is built from the parser's events without recursion, so that depth, size and the expansion of aliases are
bounded before anything walks it. Scalars are resolved by the YAML 1.2 core schema (`on` and `yes` are texts).
"""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct

from relevo.workflow.diagnostics import Diagnostic, WorkflowInvalid
from relevo.workflow.model import Value

MAX_BYTES: Final = 1_048_576
#: Deepest nesting of lists and mappings (GitHub's limit for a document is 50 for objects within a value).
MAX_DEPTH: Final = 50
_TOO_DEEP: Final = f"values are nested deeper than {MAX_DEPTH} levels"
#: Most nodes, aliases counted as if written out.
MAX_NODES: Final = 250_000

_TAGS: Final = "tag:yaml.org,2002:"
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?[0-9]+\Z", re.ASCII)
_HEX: Final = re.compile(r"0x[0-9a-fA-F]+\Z")
_OCTAL: Final = re.compile(r"0o[0-7]+\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", re.ASCII)
_INFINITY: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z")
_NOT_A_NUMBER: Final = frozenset({".nan", ".NaN", ".NAN"})
_NUMBER_START: Final = frozenset("-+.0123456789")
#: What ends a line for YAML 1.1, and so for the parser that counts them.
_LINE_END: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
#: Longest run of digits that surely fits 64 bits; longer integers become floats.
_INT_DIGITS: Final = 18


class Node(Struct, gc=False):
    """Where a value stands, 1-based, and how many nodes it is made of, aliases written out."""

    line: int
    column: int
    size: int


class Scalar(Node, gc=False):
    """A single value. `text` is what stands in the file, without quotes."""

    value: Value
    text: str


class Sequence(Node):
    """A list."""

    items: list[Node]


class Mapping(Node):
    """A mapping, in order of the file."""

    entries: list[tuple[Scalar, Node]]

    def get(self, name: str) -> Node | None:
        """The value under a key, None when it is not there."""
        for key, value in self.entries:
            if key.text == name:
                return value
        return None

    def key(self, name: str) -> Scalar | None:
        """The key itself, for its position."""
        for key, _ in self.entries:
            if key.text == name:
                return key
        return None


def plain(node: Node) -> Value:
    """A node as an ordinary value; keys are texts."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {key.text: plain(value) for key, value in node.entries}


def compose(text: bytes, path: str, *, max_bytes: int = MAX_BYTES) -> tuple[Node, list[str]]:
    """The root of a file's one document, and the file's lines. Raises WorkflowInvalid."""
    if len(text) > max_bytes:
        raise _whole(path, f"the file is larger than {max_bytes} bytes", "split it, or move scripts to files")
    try:
        source = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - (text.rfind(b"\n", 0, error.start) + 1) + 1
        raise WorkflowInvalid(
            [Diagnostic(path, line, column, "the file is no UTF-8 text", "save it as UTF-8")]
        ) from None
    lines = _LINE_END.split(source)
    return _Composer(path, lines).compose(source), lines


def _whole(path: str, message: str, hint: str | None = None) -> WorkflowInvalid:
    return WorkflowInvalid([Diagnostic(path, 0, 0, message, hint)])


class _Composer:
    def __init__(self, path: str, lines: list[str]) -> None:
        self._path = path
        self._lines = lines
        self._anchors: dict[str, Node | None] = {}
        self._nodes = 0

    def _error(self, line: int, column: int, message: str, hint: str | None = None) -> WorkflowInvalid:
        excerpt = self._lines[line - 1] if 0 < line <= len(self._lines) else ""
        return WorkflowInvalid([Diagnostic(self._path, line, column, message, hint, "error", excerpt)])

    def compose(self, source: str) -> Node:
        from relevo.workflow.patient_yaml import yaml

        try:
            return self._compose(yaml.CSafeLoader(source))
        except yaml.reader.ReaderError as error:
            before = source[: error.position]
            line = before.count("\n") + 1
            column = len(before) - (before.rfind("\n") + 1) + 1
            shown = f"#x{error.character:04x}" if isinstance(error.character, int) else repr(error.character)
            raise self._error(line, column, f"the character {shown} is not allowed") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            if "maximum nesting depth" in (error.problem or ""):
                raise self._error(line, column, _TOO_DEEP) from None
            raise self._error(line, column, _yaml_problem(error), _yaml_hint(error)) from None

    def _compose(self, parser: Any) -> Node:
        from yaml import events

        root: Node | None = None
        stack: list[Sequence | Mapping] = []
        anchors: list[str | None] = []  # of the containers on the stack
        pending: list[Scalar | None] = []  # the key whose value comes next, for each container on the stack
        next_event = parser.get_event
        while True:
            event = next_event()
            kind = type(event)
            if kind is events.ScalarEvent:
                node: Node = self._scalar(event)
                if event.anchor:
                    self._anchors[event.anchor] = node
            elif kind is events.MappingStartEvent or kind is events.SequenceStartEvent:
                container = self._open(event, kind is events.MappingStartEvent, len(stack))
                if event.anchor:
                    self._anchors[event.anchor] = None  # not complete: an alias to it would never end
                stack.append(container)
                anchors.append(event.anchor)
                pending.append(None)
                continue
            elif kind is events.MappingEndEvent or kind is events.SequenceEndEvent:
                node = stack.pop()
                pending.pop()
                anchor = anchors.pop()
                if anchor:
                    self._anchors[anchor] = node
            elif kind is events.AliasEvent:
                node = self._alias(event)
            elif kind is events.DocumentStartEvent:
                if root is not None:
                    mark = event.start_mark
                    raise self._error(
                        mark.line + 1, mark.column + 1, "a second document", "a workflow file holds one"
                    )
                continue
            elif kind is events.StreamEndEvent:
                if root is None:
                    raise _whole(
                        self._path, "the file is empty", "a workflow needs at least `on:` and `jobs:`"
                    )
                return root
            else:
                continue
            if stack:
                self._attach(stack[-1], node, pending)
            else:
                root = node

    def _attach(self, parent: Sequence | Mapping, node: Node, pending: list[Scalar | None]) -> None:
        parent.size += node.size
        if parent.size > MAX_NODES:
            raise self._error(
                node.line, node.column, f"the file holds more than {MAX_NODES} values, aliases written out"
            )
        if isinstance(parent, Sequence):
            parent.items.append(node)
            return
        key = pending[-1]
        if key is not None:
            parent.entries.append((key, node))
            pending[-1] = None
            return
        if not isinstance(node, Scalar):
            raise self._error(node.line, node.column, "a key must be a plain text, not a list or mapping")
        if node.value is None:
            node = Scalar(node.line, node.column, 1, "", "")
        pending[-1] = node

    def _open(self, event: Any, is_mapping: bool, depth: int) -> Sequence | Mapping:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        if depth >= MAX_DEPTH:
            raise self._error(line, column, _TOO_DEEP)
        if event.tag and event.tag not in (_TAGS + "map", _TAGS + "seq", "!"):
            raise self._error(line, column, f"the tag {event.tag} is not known", "leave it out")
        return Mapping(line, column, 1, []) if is_mapping else Sequence(line, column, 1, [])

    def _alias(self, event: Any) -> Node:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        if event.anchor not in self._anchors:
            raise self._error(line, column, f"there is no anchor &{event.anchor} before this alias")
        target = self._anchors[event.anchor]
        if target is None:
            raise self._error(line, column, f"the alias *{event.anchor} stands within its own anchor")
        # the same value, but where the alias stands
        if isinstance(target, Scalar):
            return Scalar(line, column, 1, target.value, target.text)
        if isinstance(target, Sequence):
            return Sequence(line, column, target.size, target.items)
        assert isinstance(target, Mapping)
        return Mapping(line, column, target.size, target.entries)

    def _scalar(self, event: Any) -> Scalar:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        text = event.value
        if event.style is None or event.style == "":
            plainly = True
        else:
            plainly = event.style not in ("'", '"', "|", ">")
        tag = event.tag
        if tag is None:
            if not plainly:
                return Scalar(line, column, 1, text, text)
            if text == "<<":
                raise self._error(
                    line,
                    column,
                    "merge keys (`<<`) are not part of the workflow syntax",
                    "write the keys out",
                )
            return Scalar(line, column, 1, resolve(text), text)
        try:
            return Scalar(line, column, 1, _tagged(tag, text), text)
        except ValueError:
            if not tag.startswith(_TAGS):
                unquoted = "put a value that begins with ! in quotes"
                raise self._error(line, column, f"the tag {tag} is not known", unquoted) from None
            known = tag.removeprefix(_TAGS)
            raise self._error(line, column, f"{text[:40]!r} is no value of the tag !!{known}") from None


def resolve(text: str) -> Value:
    """The value of a plain scalar by the YAML 1.2 core schema."""
    if text in _NULL:
        return None
    if text[0] not in _NUMBER_START:
        return _BOOL.get(text, text)
    if _INT.match(text):
        return _integer(text)
    if _FLOAT.match(text):
        return float(text)
    if _HEX.match(text) or _OCTAL.match(text):
        return _integer(text)
    if _INFINITY.match(text):
        return float(text.replace(".", ""))
    return float("nan") if text in _NOT_A_NUMBER else text


def _integer(text: str) -> int | float:
    if len(text) > _INT_DIGITS:
        return float(text) if text[:2] not in ("0x", "0o") else float(_prefixed(text))
    return _prefixed(text)


def _prefixed(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:], 16)
    return int(text[2:], 8) if text.startswith("0o") else int(text)


def _tagged(tag: str, text: str) -> Value:
    # raises ValueError when the text is no value of the tag
    name = tag.removeprefix(_TAGS)
    if tag == "!" or name == "str":
        return text
    value = resolve(text)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if (
        (name == "null" and value is None)
        or (name == "bool" and isinstance(value, bool))
        or (name == "float" and number)
        or (name == "int" and number and not isinstance(value, float))
    ):
        return value
    raise ValueError(tag)


def _yaml_problem(error: Any) -> str:
    problem = error.problem or "the file is no YAML"
    return f"{problem} ({error.context})" if error.context else str(problem)


def _yaml_hint(error: Any) -> str | None:
    problem = error.problem or ""
    if "cannot start any token" in problem:
        return "indent with spaces, and quote texts that begin with a special character"
    if "mapping values are not allowed" in problem:
        return "quote a text that holds `: `, or check the indentation"
    if "did not find expected" in problem:
        return "check the indentation, and that quotes and brackets are closed"
    return None
