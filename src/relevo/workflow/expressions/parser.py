"""From tokens to the syntax tree.

Precedence, strongest first: `.` and `[]`, `!`, `< <= > >=`, `== !=`, `&&`, `||`.
"""

from __future__ import annotations

from typing import Any, Final

from relevo.workflow.expressions.errors import ExpressionError
from relevo.workflow.expressions.functions import ARITY
from relevo.workflow.expressions.lexer import Token, tokens
from relevo.workflow.expressions.syntax import Call, Compare, Index, Literal, Logic, Name, Node, Not, Spread

#: Deepest tree that is accepted (GitHub's limit).
MAX_DEPTH: Final = 50
#: Deepest nesting of brackets and `!` in the source. Brackets alone add no level to the tree.
_MAX_NESTING: Final = 100
_RELATIONAL: Final = frozenset({"<", "<=", ">", ">="})
_EQUALITY: Final = frozenset({"==", "!="})


def parse(source: str) -> Node:
    """The tree of a source; a blank one is null. Raises ExpressionError."""
    found = tokens(source)
    if len(found) == 1:
        return Literal(None)
    reader = _Reader(source, found)
    node = reader.either()
    if reader.token.kind != "end":
        raise reader.unexpected()
    return node


def _depth(node: Any) -> int:
    depth: int = node.depth
    return depth


class _Reader:
    __slots__ = ("_index", "_nesting", "_source", "_tokens", "token")

    def __init__(self, source: str, found: list[Token]) -> None:
        self._source = source
        self._tokens = found
        self._index = 0
        self._nesting = 0
        self.token = found[0]

    def _advance(self) -> Token:
        token = self.token
        self._index += 1
        self.token = self._tokens[self._index]
        return token

    def _error(self, message: str, token: Token) -> ExpressionError:
        return ExpressionError(message, stage="parsing", column=token.column, source=self._source)

    def unexpected(self) -> ExpressionError:
        if self.token.kind == "end":
            return self._error("the expression ends too early", self.token)
        return self._error(f"unexpected symbol {self.token.text!r}", self.token)

    def _expect(self, kind: str) -> Token:
        if self.token.kind != kind:
            raise self.unexpected()
        return self._advance()

    def _level(self, *below: Node) -> int:
        depth = 1 + max(map(_depth, below), default=0)
        if depth > MAX_DEPTH:
            raise self._error(f"the expression is nested deeper than {MAX_DEPTH} levels", self.token)
        return depth

    def _enter(self) -> None:
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            raise self._error(f"brackets are nested deeper than {_MAX_NESTING} levels", self.token)

    def either(self) -> Node:
        first = self._both()
        if self.token.kind != "||":
            return first
        operands = [first]
        while self.token.kind == "||":
            self._advance()
            operands.append(self._both())
        return Logic("||", tuple(operands), self._level(*operands))

    def _both(self) -> Node:
        first = self._equality()
        if self.token.kind != "&&":
            return first
        operands = [first]
        while self.token.kind == "&&":
            self._advance()
            operands.append(self._equality())
        return Logic("&&", tuple(operands), self._level(*operands))

    def _equality(self) -> Node:
        left = self._relation()
        while self.token.kind in _EQUALITY:
            operator = self._advance().kind
            right = self._relation()
            left = Compare(operator, left, right, self._level(left, right))
        return left

    def _relation(self) -> Node:
        left = self._negation()
        while self.token.kind in _RELATIONAL:
            operator = self._advance().kind
            right = self._negation()
            left = Compare(operator, left, right, self._level(left, right))
        return left

    def _negation(self) -> Node:
        if self.token.kind != "!":
            return self._postfix()
        self._advance()
        self._enter()
        operand = self._negation()
        self._nesting -= 1
        return Not(operand, self._level(operand))

    def _postfix(self) -> Node:
        token = self.token
        if token.kind == "value":
            self._advance()
            return Literal(token.value)
        node = self._primary()
        while True:
            if self.token.kind == ".":
                self._advance()
                if self.token.kind == "*":
                    self._advance()
                    node = Spread(node, self._level(node))
                else:
                    key = Literal(self._expect("name").text)
                    node = Index(node, key, self._level(node, key))
            elif self.token.kind == "[":
                self._advance()
                node = self._subscript(node)
            else:
                return node

    def _subscript(self, node: Node) -> Node:
        if self.token.kind == "*":
            self._advance()
            self._expect("]")
            return Spread(node, self._level(node))
        self._enter()
        key = self.either()
        self._nesting -= 1
        self._expect("]")
        return Index(node, key, self._level(node, key))

    def _primary(self) -> Node:
        if self.token.kind == "(":
            self._advance()
            self._enter()
            node = self.either()
            self._nesting -= 1
            self._expect(")")
            return node
        name = self._expect("name")
        if self.token.kind == "(":
            return self._call(name)
        return Name(name.text.lower(), name.column)

    def _call(self, name: Token) -> Node:
        function = name.text.lower()
        if function not in ARITY:
            raise ExpressionError(
                f"unknown function '{name.text}'",
                stage="parsing",
                column=name.column,
                source=self._source,
                name=name.text,
            )
        self._advance()
        self._enter()
        arguments: list[Node] = []
        if self.token.kind != ")":
            arguments.append(self.either())
            while self.token.kind == ",":
                self._advance()
                arguments.append(self.either())
        self._nesting -= 1
        self._expect(")")
        least, most = ARITY[function]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise self._error(f"'{name.text}' takes {wanted} arguments, not {len(arguments)}", name)
        if function == "case" and len(arguments) % 2 == 0:
            raise self._error("'case' takes pairs of a condition and a value, then a default", name)
        return Call(function, tuple(arguments), name.column, self._level(*arguments))
