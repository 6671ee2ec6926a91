"""What is left of the nodes during a round."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from relevo.scheduler.demand import Demand, Rules
from relevo.scheduler.nodes import Nodes, Uses, rows_of
from relevo.scheduler.policy import Weights
from relevo.workflow import label_expressions as expressions

if TYPE_CHECKING:
    from relevo.scheduler.custom import Guard, JobView, NodeView

#: Up to so many candidates are compared one by one.
FEW: Final = 6
#: Without weights these come before any number of free places.
PREFERRED: Final = 1 << 40
NEAR: Final = 1 << 39


class Shape:
    """A class of jobs in a round: what it uses, and where it may go."""

    __slots__ = ("allowed", "demand", "done", "exact", "left", "parts", "steps", "uses")

    def __init__(self, demand: Demand, uses: Uses, allowed: int) -> None:
        self.demand = demand
        self.uses = uses
        self.allowed = allowed
        self.left = allowed  #: without those that were found to lack something
        self.parts: list[tuple[int, int]] = []  #: (bonus, nodes); empty: no node is preferred
        self.exact = True  #: each of its amounts has a step on its ladder
        self.steps: list[tuple[dict[int, int], int]] = []  #: where it is exact: ladders, and its step on each
        self.done = False  #: it fits nowhere any more


class Room:
    """What a round takes from: the columns of nodes, and what is known of each class until the round is over."""

    def __init__(self, nodes: Nodes, weights: Weights | None, custom: Guard | None = None) -> None:
        self.nodes = nodes
        self._custom = custom
        self._weights = weights
        self._shapes: dict[Demand, Shape] = {}

    def shape(self, demand: Demand) -> Shape:
        """A class in this round."""
        shape = self._shapes.get(demand)
        if shape is None:
            uses, allowed = self.nodes.of_class(demand)
            shape = self._shapes[demand] = Shape(demand, uses, allowed & ~self.nodes.drained)
            for name, amount in uses:
                if name not in self.nodes.ladders:
                    shape.left = 0  # nobody has any of it
                elif self.nodes.climb(name, amount):
                    shape.steps.append((self.nodes.ladders[name], amount))
                else:
                    shape.exact = False
            if demand.rules is not None and (demand.rules.prefers is not None or demand.rules.near):
                shape.parts = self._parts(demand.rules)
        return shape

    def _parts(self, rules: Rules) -> list[tuple[int, int]]:
        nodes, weights = self.nodes, self._weights
        preferred, near = 0, nodes.warm.get(rules.near, 0) if rules.near else 0
        if rules.prefers is not None:
            preferred = expressions.select(rules.prefers, nodes.by_name, nodes.every)
        by_preference = PREFERRED if weights is None else weights.prefers * 100
        by_nearness = NEAR if weights is None else weights.near * 100
        parts = [
            (by_preference + by_nearness, preferred & near),
            (by_preference, preferred & ~near),
            (by_nearness, near & ~preferred),
            (0, nodes.every & ~preferred & ~near),
        ]
        return [(bonus, members) for bonus, members in parts if members]

    def fitting(self, shape: Shape) -> int:
        """The nodes that take one more of a class now; some too many when it is not exact."""
        found = shape.left
        for ladder, step in shape.steps:
            found &= ladder[step]
        if not found:
            return 0
        if not shape.exact:
            found &= self._roughly(shape)
        return found & ~apart if (apart := self._kept_apart(shape)) else found

    def _roughly(self, shape: Shape) -> int:
        """The nodes that have at least the next step below each amount of a class."""
        found = self.nodes.every
        for name, amount in shape.uses:
            steps = self.nodes.steps[name]
            at = bisect_right(steps, amount) - 1
            if at >= 0:
                found &= self.nodes.ladders[name][steps[at]]
        return found

    def _kept_apart(self, shape: Shape) -> int:
        rules = shape.demand.rules
        if rules is None or not rules.apart:
            return 0
        return self.nodes.neighbours(self.nodes.apart.get(rules.apart, 0), rules.apart_over)

    def best(self, shape: Shape, job: JobView | None = None) -> int:
        """The row to take for one more of a class: the best rank, and the first of several; -1 when it fits nowhere.

        `job`: for a custom policy. Raises PolicyFailed.
        """
        while found := self.fitting(shape):
            if self._custom is not None and job is not None:
                row = self._top_by(self._custom, job, found)
            else:
                row = self._top(found) if not shape.parts else self._top_of_parts(found, shape.parts)
            if shape.exact or all(self.nodes.free[name][row] >= amount for name, amount in shape.uses):
                return row
            shape.left &= ~(1 << row)  # it will not have more in this round
        return -1

    def _top(self, found: int) -> int:
        ranked, best_first = self.nodes.ranked, self.nodes.best_first
        if hit := found & ranked[best_first[0]]:
            return (hit & -hit).bit_length() - 1
        if found.bit_count() <= FEW:
            return max(rows_of(found), key=self.nodes.ranks.__getitem__)
        for rank in best_first:
            if hit := found & ranked[rank]:
                return (hit & -hit).bit_length() - 1
        raise AssertionError("a node without a rank")

    def _top_by(self, custom: Guard, job: JobView, found: int) -> int:
        rows = rows_of(found)
        grades = [custom.score(job, self._view(row)) for row in rows]
        return rows[max(range(len(rows)), key=grades.__getitem__)]

    def _view(self, row: int) -> NodeView:
        from relevo.scheduler.custom import node_view

        totals = {name: column[row] / 1000 for name, column in self.nodes.totals.items()}
        free = {name: column[row] / 1000 for name, column in self.nodes.free.items()}
        return node_view(self.nodes.rows[row], totals, free)

    def _top_of_parts(self, found: int, parts: list[tuple[int, int]]) -> int:
        grades = []
        for bonus, members in parts:
            if hit := found & members:
                row = self._top(hit)
                grades.append((self.nodes.ranks[row] + bonus, -row))
        return -max(grades)[1]

    def take(self, row: int, shape: Shape) -> None:
        """A job of the class has its place there."""
        self.nodes.take(row, shape.uses)
        rules = shape.demand.rules
        if rules is not None and rules.apart:
            self.nodes.keep_apart(row, rules.apart)

    def nearest(self, shape: Shape) -> int:
        """The row where least is missing for a class that fits nowhere now, of those that could ever take it; -1: none could."""
        totals = self.nodes.totals
        chosen, least = -1, 0.0
        for row in rows_of(shape.allowed & ~self._kept_apart(shape)):
            missing = 0.0
            for name, amount in shape.uses:
                total = totals[name][row] if name in totals else 0
                if total < amount:
                    break
                missing = max(missing, (amount - self.nodes.free[name][row]) / total)
            else:
                if chosen < 0 or missing < least:
                    chosen, least = row, missing
        return chosen
