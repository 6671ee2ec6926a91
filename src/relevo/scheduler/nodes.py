"""Agents as columns: an amount of each is a list, and what holds of some of them is a bit set (an integer, bit i for row i).

A class of jobs fits `labels & rules & what has enough of each amount`: a handful of operations on integers of n bits, whatever n
is, instead of a look at each agent. `Nodes` is kept between rounds; `room.Room` is what is left of them during one.

    rows   a  b  c  d         ladder of cpu     ≥ 1: abcd   ≥ 4: a··d          ranks   6: b·   5: ac   2: d
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Final

from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.demand import Demand, Rules, amounts, thousandths
from relevo.scheduler.policy import Weights
from relevo.workflow import label_expressions as expressions

#: Amounts of one resource that have a bit set of their own at most; with more of them, what is picked is looked at again.
LADDER_LIMIT: Final = 64
#: A ladder that lacked a step so often is made anew: its steps are those that were asked for first, not last.
LACKING: Final = 256
#: So many classes keep what was found of their labels and rules.
CLASSES_LIMIT: Final = 4_096
#: Bit sets with so few bits are gone through bit by bit, others byte by byte.
SPARSE: Final = 32
_NO_RULES: Final = Rules()
_NO_KEYS: Final = (frozenset[str](), frozenset[str]())

#: What a job of a class uses, in thousandths, by name.
Uses = tuple[tuple[str, int], ...]
#: For each resource what all nodes have, and what of it is free.
Columns = list[tuple[list[int], list[int]]]


class Nodes:
    """Agents in columns. `rows` does not change; what of them has changed is brought up to date by `refresh`."""

    def __init__(self, rows: list[AgentCapacity]) -> None:
        self.rows = rows
        self.every = (1 << len(rows)) - 1
        self.drained = 0
        self.by_name: dict[str, int] = {}
        self.by_taint: dict[str, int] = {}
        self.apart: dict[str, int] = {}
        self.warm: dict[str, int] = {}
        self.totals: dict[str, list[int]] = {}
        self.sums: dict[str, int] = {}  #: of totals
        self.free: dict[str, list[int]] = {}
        self.ladders: dict[str, dict[int, int]] = {}  #: resource → amount → who has so much free
        self.steps: dict[str, list[int]] = {}  #: the same amounts, in order
        self.ranks: list[int] = []
        self.ranked: dict[int, int] = {}  #: rank → who has it
        self._index = {agent.id: row for row, agent in enumerate(rows)}
        self._weights: Weights | None = None
        self._lacking: dict[str, int] = {}
        self._stale: list[AgentCapacity] = []
        self._keys: list[tuple[frozenset[str], frozenset[str]]] = [_NO_KEYS] * len(rows)
        self._classes: dict[Demand, tuple[Uses, int]] = {}
        for name in {"places", "cpu", "memory"}.union(*(agent.extras for agent in rows)):
            self.totals[name] = [0] * len(rows)
            self.free[name] = [0] * len(rows)
            self.ladders[name] = {}
            self.steps[name] = []
        members: dict[str, list[int]] = {}
        tainted: dict[str, list[int]] = {}
        for row, agent in enumerate(rows):
            for name in agent.names:
                members.setdefault(name, []).append(row)
            for taint in agent.taints:
                tainted.setdefault(taint, []).append(row)
            self.totals["cpu"][row] = thousandths(agent.cpus)
            self.totals["memory"][row] = thousandths(agent.memory_bytes)
            for name, amount in agent.extras.items():
                self.totals[name][row] = thousandths(amount)
            self._stale.append(agent)
        self.by_name = {name: bits(found) for name, found in members.items()}
        self.by_taint = {taint: bits(found) for taint, found in tainted.items()}
        self._columns = self.columns(self.free)
        self.sums = {name: sum(column) for name, column in self.totals.items()}

    def refresh(self) -> None:
        """Take in what has changed. O(agents that did)."""
        if not self._stale:
            return
        stale = self._stale.copy()
        self._stale.clear()  # the same list: agents know it
        for agent in stale:
            row = self._index[agent.id]
            bit = 1 << row
            self.drained = self.drained | bit if agent.drained else self.drained & ~bit
            self.sums["places"] += agent.places * 1000 - self.totals["places"][row]
            self.totals["places"][row] = agent.places * 1000
            self._set("places", row, agent.free * 1000)
            self._set("cpu", row, thousandths(agent.cpus_free))
            self._set("memory", row, thousandths(agent.memory_free))
            for name, amount in agent.extras_free.items():
                if name in self.free:
                    self._set(name, row, thousandths(amount))
            if agent.warm or agent.apart or self._keys[row] != _NO_KEYS:
                apart, warm = self._keys[row]
                self._keys[row] = (frozenset(agent.apart), frozenset(agent.warm))
                _mark(self.apart, bit, apart, self._keys[row][0])
                _mark(self.warm, bit, warm, self._keys[row][1])
            if self.ranks:
                self._rerank(row, bit)
            agent.stale = self._stale

    def _set(self, name: str, row: int, amount: int) -> None:
        column = self.free[name]
        before = column[row]
        if before != amount:
            column[row] = amount
            move(self.ladders[name], self.steps[name], 1 << row, before, amount)

    def _rerank(self, row: int, bit: int) -> None:
        before, rank = self.ranks[row], rank_of(row, self._columns, self.rows, self._weights)
        if rank != before:
            self.ranks[row] = rank
            self.ranked[rank] = self.ranked.get(rank, 0) | bit
            self.ranked[before] &= ~bit
            if not self.ranked[before]:
                del self.ranked[before]

    def columns(self, free: dict[str, list[int]]) -> Columns:
        """Totals beside what is free; places come first."""
        names = ("places", *(name for name in self.totals if name != "places"))
        return [(self.totals[name], free[name]) for name in names]

    def rank_all(self, weights: Weights | None) -> None:
        """Have ranks by these weights. O(agents) when they are others than before."""
        if self.ranks and self._weights == weights:
            return
        self._weights = weights
        self.ranks = [rank_of(row, self._columns, self.rows, weights) for row in range(len(self.rows))]
        members: dict[int, list[int]] = {}
        for row, rank in enumerate(self.ranks):
            members.setdefault(rank, []).append(row)
        self.ranked = {rank: bits(found) for rank, found in members.items()}

    def climb(self, name: str, amount: int) -> bool:
        """Have a step for an amount; False when there are too many already."""
        ladder = self.ladders[name]
        if amount in ladder:
            return True
        if len(ladder) >= LADDER_LIMIT:
            self._lacking[name] = self._lacking.get(name, 0) + 1
            return False
        ladder[amount] = enough(self.free[name], amount)
        insort(self.steps[name], amount)
        return True

    def renew(self) -> None:
        """Give up ladders that lack what is asked for."""
        for name in [name for name, times in self._lacking.items() if times >= LACKING]:
            del self._lacking[name]
            self.ladders[name].clear()
            self.steps[name].clear()

    def of_class(self, demand: Demand) -> tuple[Uses, int]:
        """What a class uses, and where labels and rules let it go. Not: what is free, who is drained, keys kept apart."""
        found = self._classes.get(demand)
        if found is None:
            if len(self._classes) >= CLASSES_LIMIT:
                self._classes.clear()
            allowed = self._allowed(demand.labels, demand.rules or _NO_RULES)
            found = self._classes[demand] = (amounts(demand), allowed)
        return found

    def _allowed(self, labels: frozenset[str], rules: Rules) -> int:
        found = self.every
        for label in labels:
            found &= self.by_name.get(label, 0)
        if rules.where is not None:
            found &= expressions.select(rules.where, self.by_name, self.every)
        for taint, nodes in self.by_taint.items():
            if taint not in rules.tolerates:
                found &= ~nodes
        return found

    def neighbours(self, nodes: int, over: str) -> int:
        """All nodes of the pools or zones of these."""
        if over == "node" or not nodes:
            return nodes
        found = nodes
        for name, members in self.by_name.items():
            if name.startswith(f"{over}:") and members & nodes:
                found |= members
        return found


def rank_of(row: int, columns: Columns, rows: list[AgentCapacity], weights: Weights | None) -> int:
    """How good a node is for whatever job; greater is better. Without weights: its free places."""
    if weights is None:
        return columns[0][1][row] // 1000
    used = 0
    for totals, free in columns:
        total = totals[row]
        if total:
            share = (total - free[row]) * 100 // total
            if share > used:
                used = share
    if used > 100:
        used = 100
    pack, spread, load, _, _ = weights
    rank = pack * used + spread * (100 - used)
    if load:
        rank += load * (100 - max(used, min(100, int(rows[row].load * 100))))
    return rank


def move(ladder: dict[int, int], steps: list[int], bit: int, before: int, after: int) -> None:
    """A node has another amount free: bring the ladder up to date."""
    if after < before:
        for amount in steps[bisect_right(steps, after) : bisect_right(steps, before)]:
            ladder[amount] &= ~bit
    else:
        for amount in steps[bisect_right(steps, before) : bisect_right(steps, after)]:
            ladder[amount] |= bit


def _mark(marked: dict[str, int], bit: int, before: frozenset[str], now: frozenset[str]) -> None:
    for key in before - now:
        marked[key] &= ~bit
        if not marked[key]:
            del marked[key]
    for key in now - before:
        marked[key] = marked.get(key, 0) | bit


def enough(column: list[int], amount: int) -> int:
    """The nodes that have so much, as a bit set."""
    return bits([row for row, free in enumerate(column) if free >= amount])


def bits(rows: list[int]) -> int:
    """A bit set of rows in ascending order. O(rows + length), not their product."""
    if not rows:
        return 0
    found = bytearray(rows[-1] // 8 + 1)
    for row in rows:
        found[row >> 3] |= 1 << (row & 7)
    return int.from_bytes(found, "little")


def rows_of(nodes: int) -> list[int]:
    """The rows of a bit set, ascending."""
    found = []
    if nodes.bit_count() <= SPARSE:
        while nodes:
            low = nodes & -nodes
            found.append(low.bit_length() - 1)
            nodes ^= low
        return found
    for at, byte in enumerate(nodes.to_bytes((nodes.bit_length() + 7) // 8, "little")):
        while byte:
            low = byte & -byte
            found.append(8 * at + low.bit_length() - 1)
            byte ^= low
    return found
