"""The shapes that a workflow file is described with. The description itself stands in `language.py`.

`names` of a shape are the contexts and special functions (hashFiles, status functions) that expressions below it may
use; they add to those of the shapes around it. Where none are allowed, neither is `${{ }}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

#: A check of a literal text: what is wrong with it, None when nothing is.
Rule = Callable[[str], "str | None"]


class Shape(Struct, frozen=True, gc=False):
    """Root of all shapes."""


class Text(Shape, frozen=True):
    """Any single value, taken as text."""

    names: tuple[str, ...] = ()
    filled: bool = False  #: '' is refused
    choices: tuple[str, ...] = ()
    rule: Rule | None = None
    says: str = "a text"  #: in messages


class Flag(Shape, frozen=True):
    """true or false."""

    names: tuple[str, ...] = ()


class Number(Shape, frozen=True):
    """A number; `least` is the smallest that makes sense."""

    names: tuple[str, ...] = ()
    least: float | None = None
    whole: bool = False


class Nothing(Shape, frozen=True):
    """null, an empty value."""


class Condition(Shape, frozen=True):
    """An `if:`: an expression, bare or in `${{ }}`."""

    names: tuple[str, ...] = ()


class Anything(Shape, frozen=True):
    """Any value."""

    names: tuple[str, ...] = ()


class Items(Shape, frozen=True):
    """A list. With `single`, one value of that shape may stand without brackets."""

    item: Shape
    names: tuple[str, ...] = ()
    single: bool = False


class Fields(Shape, frozen=True):
    """A mapping with known keys; other keys have the shape `others`, or are refused."""

    what: str  #: in messages: "a job"
    known: Mapping[str, Shape] = {}
    required: tuple[str, ...] = ()
    others: Shape | None = None
    key_rule: Rule | None = None  #: of other keys
    names: tuple[str, ...] = ()
    key_expressions: bool = False  #: keys may hold `${{ }}`
    filled: bool = False  #: no key at all is refused


class OneOf(Shape, frozen=True):
    """The first of several shapes that fits the kind of value found.

    Of several mappings, the first whose first required key is there is taken, else the first one.
    """

    options: tuple[Shape, ...]
    names: tuple[str, ...] = ()
