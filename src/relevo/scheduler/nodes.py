"""Agents as columns: an amount of each is a list, and what holds of some of them is a bit set (an integer, bit i for row i).

A class of jobs fits `labels & rules & what has enough of each amount`: a handful of operations on integers of n bits, whatever n
is, instead of a look at each agent. `Nodes` is kept between rounds and brought up to date by what has changed; a round takes
from its columns while it goes on (`room.Room`).

    rows   a  b  c  d         ladder of cpu     ≥ 1: abcd   ≥ 4: a··d          ranks   6: b·   5: ac   2: d
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator, Mapping
from operator import neg
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
#: Rows of agents that went away are given up when there are more of them than of others, and than so many.
GONE_LIMIT: Final = 64
#: So many agents are taken in at once, before others may have the loop.
AT_ONCE: Final = 4
#: Bits that are looked at together where few of many are wanted.
_CHUNK: Final = 60
_NO_RULES: Final = Rules()
#: What a job of a class uses, in thousandths, by name.
Uses = tuple[tuple[str, int], ...]
#: The keys of an agent's jobs that are kept apart, and those that it is known for.
Keys = tuple[frozenset[str], frozenset[str]]
#: For each resource what all nodes have, and what of it is free.
Columns = list[tuple[list[int], list[int]]]
_NO_KEYS: Final[Keys] = (frozenset(), frozenset())


class Nodes:
    """Agents in columns, in the order in which they came. Whoever went away keeps its row, with nothing in it."""

    def __init__(self) -> None:
        self.rows: list[AgentCapacity] = []
        self.every = 0
        self.drained = 0
        self.by_name: dict[str, int] = {}
        self.by_taint: dict[str, int] = {}
        self.apart: dict[str, int] = {}
        self.warm: dict[str, int] = {}
        self.totals: dict[str, list[int]] = {}
        self.sums: dict[str, int] = {}  #: of totals
        self.free: dict[str, list[int]] = {}  #: of whoever is drained: no places
        self.ladders: dict[str, dict[int, int]] = {}  #: resource → amount → who has so much free
        self.steps: dict[str, list[int]] = {}  #: the same amounts, in order
        self.ranks: list[int] = []
        self.ranked: dict[int, int] = {}  #: rank → who has it
        self.best_first: list[int] = []  #: the ranks there are
        self.columns: Columns = []  #: places come first
        self._index: dict[str, int] = {}
        self._seen: list[AgentCapacity] | None = []
        self._gone = 0
        self._weights: Weights | None = None
        self._lacking: dict[str, int] = {}
        self._stale = deque[AgentCapacity]()
        self._keys: list[Keys] = []
        self._classes: dict[Demand, tuple[Uses, int]] = {}
        for name in ("places", "cpu", "memory"):
            self._have_column(name)

    def refresh(self, agents: Mapping[str, AgentCapacity]) -> Iterator[None]:
        """Take in what has changed. O(agents that did), and a look at who is there. Between two steps others may have the
        loop; what changes meanwhile is taken in the next time."""
        here = list(agents.values())
        if here != self._seen:
            self._seen = None  # until all are in
            known = [self.rows[row] for row in self._index.values()]
            for agent in known:
                if agents.get(agent.id) is not agent:
                    self._leave(agent)
                    yield
            for agent in here:
                if agent.id not in self._index:
                    self._join(agent)
                    yield
            self._seen = here
        for number in range(len(self._stale)):
            if number % AT_ONCE == 0:
                yield
            if self._stale:
                self._take_in(self._stale.popleft())

    @property
    def crowded(self) -> bool:
        """Whether too many rows are those of agents that went away: make the columns anew."""
        return self._gone > max(GONE_LIMIT, len(self._index))

    def _join(self, agent: AgentCapacity) -> None:
        """A row for an agent; what it has free is taken in with what has changed."""
        row = len(self.rows)
        bit = 1 << row
        self.rows.append(agent)
        self._index[agent.id] = row
        self.every |= bit
        self.ranks.append(0)
        self._keys.append(_NO_KEYS)
        for name in agent.extras:
            if name not in self.totals:
                self._have_column(name)
        for name, column in self.totals.items():
            column.append(0)
            self.free[name].append(0)
        for name in agent.names:
            self.by_name[name] = self.by_name.get(name, 0) | bit
        for taint in agent.taints:
            self.by_taint[taint] = self.by_taint.get(taint, 0) | bit
        self._total("cpu", row, thousandths(agent.cpus))
        self._total("memory", row, thousandths(agent.memory_bytes))
        for name, amount in agent.extras.items():
            self._total(name, row, thousandths(amount))
        self._classes.clear()
        self._enter(0, bit)
        agent.stale = None
        self._stale.append(agent)

    def _have_column(self, name: str) -> None:
        self.totals[name] = [0] * len(self.rows)
        self.free[name] = [0] * len(self.rows)
        self.ladders[name] = {}
        self.steps[name] = []
        self.sums[name] = 0
        self.columns.append((self.totals[name], self.free[name]))

    def _leave(self, agent: AgentCapacity) -> None:
        """Nothing is left of it but the row."""
        row = self._index[agent.id]
        bit = 1 << row
        del self._index[agent.id]
        self._gone += 1
        for name in self.totals:
            self._total(name, row, 0)
            self._set(name, row, 0)
        self._mark_keys(row, bit, _NO_KEYS)
        self.rerank(row, bit)

    def _take_in(self, agent: AgentCapacity) -> None:
        row = self._index.get(agent.id, -1)
        if row < 0 or self.rows[row] is not agent:
            return  # it went away
        bit = 1 << row
        self.drained = self.drained | bit if agent.drained else self.drained & ~bit
        self._total("places", row, agent.places * 1000)
        self._set("places", row, 0 if agent.drained else agent.free * 1000)
        self._set("cpu", row, thousandths(agent.cpus_free))
        self._set("memory", row, thousandths(agent.memory_free))
        for name, amount in agent.extras_free.items():
            if name in self.free:
                self._set(name, row, thousandths(amount))
        if agent.warm or agent.apart or self._keys[row] is not _NO_KEYS:
            self._mark_keys(row, bit, (frozenset(agent.apart), frozenset(agent.warm)))
        self.rerank(row, bit)
        agent.stale = self._stale

    def doubt(self, row: int) -> None:
        """What a round took there may not have been carried out: look again."""
        agent = self.rows[row]
        if agent.stale is not None:
            agent.changed()

    def take(self, row: int, uses: Uses) -> None:
        """So much less is free there, until `refresh` knows better. O(uses)."""
        bit = 1 << row
        for name, amount in uses:
            column = self.free[name]
            before = column[row]
            after = column[row] = before - amount
            steps = self.steps[name]
            if steps and after < steps[-1]:
                move(self.ladders[name], steps, bit, before, after)
        self.rerank(row, bit)

    def keep_apart(self, row: int, key: str) -> None:
        """A job with that key is there."""
        apart, warm = self._keys[row]
        self._mark_keys(row, 1 << row, (apart | {key}, warm))

    def _total(self, name: str, row: int, amount: int) -> None:
        column = self.totals[name]
        self.sums[name] += amount - column[row]
        column[row] = amount

    def _set(self, name: str, row: int, amount: int) -> None:
        column = self.free[name]
        before = column[row]
        if before != amount:
            column[row] = amount
            move(self.ladders[name], self.steps[name], 1 << row, before, amount)

    def _mark_keys(self, row: int, bit: int, now: Keys) -> None:
        before = self._keys[row]
        self._keys[row] = now
        _mark(self.apart, bit, before[0], now[0])
        _mark(self.warm, bit, before[1], now[1])

    def rerank(self, row: int, bit: int) -> None:
        """Give a node the rank that it has by what is free. `bit`: of the row."""
        before, rank = self.ranks[row], rank_of(row, self.columns, self.rows, self._weights)
        if rank == before:
            return
        self.ranks[row] = rank
        ranked = self.ranked
        ranked[before] ^= bit
        if not ranked[before]:
            del ranked[before]
            self.best_first.remove(before)
        self._enter(rank, bit)

    def _enter(self, rank: int, nodes: int) -> None:
        if rank in self.ranked:
            self.ranked[rank] |= nodes
        else:
            self.ranked[rank] = nodes
            insort(self.best_first, rank, key=neg)

    def rank_by(self, weights: Weights | None) -> None:
        """Have ranks by these weights. O(agents) when they are others than before."""
        if self._weights == weights:
            return
        self._weights = weights
        self.ranks = [rank_of(row, self.columns, self.rows, weights) for row in range(len(self.rows))]
        members: dict[int, list[int]] = {}
        for row, rank in enumerate(self.ranks):
            members.setdefault(rank, []).append(row)
        self.ranked = {rank: bits(found) for rank, found in members.items()}
        self.best_first = sorted(members, reverse=True)

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


def rows_from(nodes: int, start: int, count: int) -> Iterator[int]:
    """The rows of a bit set of so many, ascending from `start`, then those before it."""
    start %= max(count, 1)
    for begin, end in ((start, count), (0, start)):
        for at in range(begin, end, _CHUNK):
            chunk = (nodes >> at) & ((1 << min(_CHUNK, end - at)) - 1)
            while chunk:
                low = chunk & -chunk
                yield at + low.bit_length() - 1
                chunk ^= low
