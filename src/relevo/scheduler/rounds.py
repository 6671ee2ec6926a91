"""One round of matching, by any policy.

    lanes (priority, tenant, class) ──► groups (priority, tenant where tenants count) ──► whoever goes first
        ──► quota? ──► best node of those that fit ──► placement
                            └─ none: the class is done for this round; room may be kept for it

A class that fits nowhere is looked at once in a round: nodes only fill up. Keys of groups only grow while the round goes on, so
that a heap with late updates gives the order exactly.

A round can be made in turns: between two of them what it has placed is carried out, and jobs come and go. It goes by the capacity
that there was when it began; what became free since is for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heapreplace
from math import inf
from typing import TYPE_CHECKING, Final

from relevo.scheduler.capacity import Capacity
from relevo.scheduler.placement import Left, Placement, Reservation, Round
from relevo.scheduler.policy import Policy
from relevo.scheduler.queue import Classes, Cursor, Key, Lane, Queue, Waiting
from relevo.scheduler.room import Room, Shape
from relevo.scheduler.tenants import Account, Ledger

if TYPE_CHECKING:
    from relevo.scheduler.custom import JobView

#: (minus the priority, beyond the guarantee, share, virtual finish, turn): what decides between groups, then the lane's key.
_GroupKey = tuple[float, bool, float, float, int, Key]
_FIRST: Final[Key] = (-inf, 0)
#: So many groups are made, or lanes of one looked up, in one step.
AT_ONCE: Final = 32
#: When one in so many classes turned out to have no room, it is worth while to look which others have: a cluster that is full
#: has thousands of lanes without.
SURVEYED_AFTER: Final = 8
#: More than anybody asks for.
MOST: Final = 1 << 80
#: So many classes are compared with all nodes in one step.
SURVEYED_AT_ONCE: Final = 8


class _Group:
    """The lanes of a priority, or of a tenant in it where tenants count. Opened when its turn comes: most rounds end before they get to most lanes."""

    __slots__ = ("account", "heap", "opened", "priority", "seen", "tenants")

    def __init__(self, priority: int, tenants: list[Classes], account: Account | None) -> None:
        self.priority = priority
        self.tenants = tenants
        self.account = account  #: of its only tenant
        self.seen = -1  #: the account's turn when its key was made
        self.opened = False
        self.heap: list[tuple[Key, int, Lane]] = []


class Decision:
    """A round under way. Takes from the columns of nodes, and changes neither queue nor agents.

    O(placements + lanes), each times a few operations on bit sets of as many bits as there are agents.
    """

    def __init__(
        self, queue: Queue, capacity: Capacity, policy: Policy, now_s: float, *, claims: bool = True
    ) -> None:
        """`claims`: go on when no node has a place any more, to know all whom the round leaves without room."""
        self._queue = queue
        self._capacity = capacity
        self._policy = policy
        self._now_s = now_s
        self._claims = claims
        self._nodes = capacity.columns()
        self._room = Room(self._nodes, policy.placement, policy.custom)
        self._ledger = capacity.ledger or Ledger(policy.shares)
        self._accounts: dict[str, Account] = {}
        self._counts = policy.fair or bool(policy.shares)  # what tenants have
        self._guarantees = any(share.guaranteed for share in policy.shares.values())
        self._heap: list[tuple[_GroupKey, int, _Group]] = []
        self._cursors: dict[Lane, Cursor] = {}  # of lanes that were served in this turn
        self._rows: list[int] = []  # what was taken in this turn
        self._kept: list[int] = []  # for reservations
        self._turn = queue.turn
        self._served = 0
        self._useful: int | None = None  # the nodes that some class fits; None: not looked for
        self._least: dict[str, int] = {}  # what each of those classes asks for at least
        self._steps = self._work()
        self.result = Round([], [], {}, [])

    def run(self) -> Round:
        """All of it in one turn. Nothing is carried out: it could be made again."""
        try:
            for _ in self._steps:
                pass
        finally:
            self.undo()
        return self.result

    def advance(self, steps: int) -> bool:
        """Another turn, of so many steps at most; whether the round is over. A step looks at a lane, or at a few agents.

        What the turn before has placed has been carried out since, in the same order, or its jobs do not wait any more.
        Raises PolicyFailed: then only `undo` is left.
        """
        self._turn = self._queue.turn
        self._cursors.clear()
        self._rows.clear()
        return any(next(self._steps, self) is self for _ in range(steps))

    def undo(self) -> None:
        """Give up what it has taken in its last turn, and what it keeps for others."""
        for row in (*self._rows, *self._kept):
            self._nodes.doubt(row)

    def _work(self) -> Iterator[None]:
        nodes = self._nodes
        nodes.rank_by(self._policy.placement)
        yield from nodes.refresh(self._capacity.agents)
        nodes.renew()
        self._ledger.totals = nodes.sums
        self._served = self._ledger.turn
        nodes.climb("places", 1000)
        if nodes.ladders["places"][1000] or self._goes_on():
            yield from self._make_groups()
            yield from self._match()
        for row in self._kept:
            nodes.doubt(row)

    def _make_groups(self) -> Iterator[None]:
        heap = self._heap
        lowest = self._rank(self._queue.oldest)
        for priority, tenants in list(self._queue.lanes.items()):
            if self._counts:
                for tenant, classes in list(tenants.items()):
                    group = _Group(priority, [classes], self._account(tenant))
                    heap.append((self._key(group, lowest - priority, None, _FIRST), len(heap), group))
                    if len(heap) % AT_ONCE == 0:
                        yield
            else:
                group = _Group(priority, list(tenants.values()), None)
                heap.append((self._key(group, lowest - priority, None, _FIRST), len(heap), group))
        heapify(heap)

    def _survey(self) -> Iterator[None]:
        """Which classes fit where: lanes of the others are not looked at one by one."""
        least = dict.fromkeys(self._nodes.free, MOST)
        useful = 0
        for number, demand in enumerate(list(self._queue.classes)):
            if number % SURVEYED_AT_ONCE == 0:
                yield
            shape = self._room.shape(demand)
            found = self._room.fitting(shape)
            shape.done = not found
            if found:
                useful |= found
                uses = dict(shape.uses)
                least = {name: min(amount, uses[name]) for name, amount in least.items() if name in uses}
        self._useful = useful
        self._least = least

    def _has_room(self) -> bool:
        """Whether there may be something to do, where the last that was looked at had no room."""
        if self._useful is None or self._goes_on():
            return True
        found = self._useful
        for name, amount in self._least.items():
            found &= self._nodes.ladders[name].get(amount, -1)
        return found != 0

    def _match(self) -> Iterator[None]:
        """Whoever goes first, again and again."""
        heap, placements, limit = self._heap, self.result.placements, self._policy.round_limit
        places = self._nodes.ladders["places"]
        without_room, worth = 0, len(self._queue.classes) // SURVEYED_AFTER + 1
        while heap and len(placements) < limit and (places[1000] or self._goes_on()):
            _, number, group = heap[0]
            account = group.account
            if account is not None and account.full:
                heappop(heap)
                continue
            if account is None or group.seen == account.turn:
                if not group.opened:
                    yield from self._open(group)
                else:
                    if not self._serve(group):
                        without_room += 1
                        if without_room == worth and not self._goes_on():
                            yield from self._survey()
                        if not self._has_room():
                            return
                    yield
                if not group.heap:
                    heappop(heap)
                    continue
            # else its tenant got something in another priority
            heapreplace(heap, (self._renewed(group), number, group))

    def _goes_on(self) -> bool:
        """Whether there is something to do for those who fit nowhere."""
        if self._claims:
            return True
        after_s, oldest_s = self._policy.reserve_after_s, self._queue.oldest
        if after_s is None or oldest_s is None or len(self.result.reservations) >= self._policy.reservations:
            return False
        return self._now_s - oldest_s >= after_s

    def _open(self, group: _Group) -> Iterator[None]:
        group.opened = True
        # Where guarantees or ages count, whoever comes first in a group decides when its turn is, even if it has no room.
        known = self._useful is not None and not (self._guarantees or self._policy.ageing_s)
        for classes in group.tenants:
            for lane in list(classes.values()):
                if lane.size and not (known and self._room.shape(lane.demand).done):
                    group.heap.append((lane.first, len(group.heap), lane))
                    if len(group.heap) % AT_ONCE == 0:
                        yield
        heapify(group.heap)

    def _account(self, tenant: str) -> Account:
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = Account(self._ledger, tenant, self._policy.share(tenant))
        return account

    def _rank(self, since_s: float | None) -> float:
        """What waiting since then adds to a rank: less is better."""
        if not self._policy.ageing_s or since_s is None:
            return 0.0
        return -int(max(0.0, self._now_s - since_s) / self._policy.ageing_s)

    def _renewed(self, group: _Group) -> _GroupKey:
        """A group's key as it is now. It never becomes less, but for the group just served."""
        if not group.heap:
            return self._key(group, self._rank(self._queue.oldest) - group.priority, None, _FIRST)
        lane_key, _, lane = group.heap[0]
        rank: float = -group.priority
        if self._policy.ageing_s:
            waiting = self._cursor(lane).waiting
            rank += self._rank(None if waiting is None else self._queue.since(waiting))
        return self._key(group, rank, lane, lane_key)

    def _key(self, group: _Group, rank: float, lane: Lane | None, lane_key: Key) -> _GroupKey:
        """A group's key; without its first lane, one that is not greater."""
        account = group.account
        if account is None:
            return (rank, False, 0.0, 0.0, 0, lane_key)
        group.seen = account.turn
        borrows = False
        if lane is not None and self._guarantees:
            borrows = account.borrows(self._nodes.of_class(lane.demand)[0])
        if not self._policy.fair:
            return (rank, borrows, 0.0, 0.0, 0, lane_key)
        return (rank, borrows, account.level, account.finish, account.turn, lane_key)

    def _cursor(self, lane: Lane) -> Cursor:
        cursor = self._cursors.get(lane)
        if cursor is None:
            cursor = self._cursors[lane] = lane.cursor()
        return cursor

    def _serve(self, group: _Group) -> bool:
        """Look at its first lane. False when it turned out that nothing has room for that class."""
        key, number, lane = group.heap[0]
        cursor, account = self._cursor(lane), group.account
        waiting = cursor.waiting
        if waiting is not None and cursor.key == key:
            shape = self._room.shape(lane.demand)
            if account is not None and account.over_quota(shape.uses):
                self._leave(group, lane, waiting, "quota")
                return True
            known = shape.done
            row = -1 if known else self._room.best(shape, self._view(group, lane, waiting))
            if row < 0:
                shape.done = True
                self._leave(group, lane, waiting, "room")
                self._keep_room(waiting, shape)
                return known
            self._room.take(row, shape)
            self._rows.append(row)
            self.result.placements.append(Placement(waiting, shape.demand, self._nodes.rows[row].id))
            self._turn += 1
            if account is not None:
                self._served += 1
                account.take(shape.uses, self._served)
            cursor.advance(self._turn)
        # else its first job went away since
        if cursor.waiting is None:
            heappop(group.heap)
        else:
            heapreplace(group.heap, (cursor.key, number, lane))
        return True

    def _view(self, group: _Group, lane: Lane, waiting: Waiting) -> JobView | None:
        if self._policy.custom is None:
            return None
        from relevo.scheduler.custom import view_of

        return view_of(waiting, group.priority, lane.demand, lane.tenant)

    def _leave(self, group: _Group, lane: Lane, waiting: Waiting, why: Left) -> None:
        heappop(group.heap)
        if not self._claims:
            return
        key = (lane.tenant, lane.demand)
        if key not in self.result.left:
            self.result.left[key] = why
            self.result.first_left.append((waiting, group.priority, lane.tenant, lane.demand))

    def _keep_room(self, waiting: Waiting, shape: Shape) -> None:
        """Whoever waits for long gets a node where nothing else is put that would take longer to become free for it.

        The node is looked at as if the job were there already, beside all that runs: what takes nothing that is missing goes
        on to be placed there.
        """
        after_s = self._policy.reserve_after_s
        if after_s is None or len(self.result.reservations) >= self._policy.reservations:
            return
        if self._now_s - (self._queue.since(waiting) or 0.0) < after_s:
            return
        row = self._room.nearest(shape)
        if row >= 0:
            self._room.take(row, shape)
            self._kept.append(row)
            self.result.reservations.append(Reservation(waiting, shape.demand, self._nodes.rows[row].id))
