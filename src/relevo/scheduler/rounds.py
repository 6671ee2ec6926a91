"""One round of matching, by any policy.

    lanes (priority, tenant, class) ──► groups (priority, tenant where tenants count) ──► whoever goes first
        ──► quota? ──► best node of those that fit ──► placement
                            └─ none: the class is done for this round; room may be kept for it

A class that fits nowhere is looked at once in a round: nodes only fill up. Keys of groups only grow while the round goes on, so
that a heap with late updates gives the order exactly.
"""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace
from math import inf
from typing import TYPE_CHECKING, Final

from relevo.scheduler.capacity import Capacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.placement import Left, Placement, Reservation, Round
from relevo.scheduler.policy import Policy
from relevo.scheduler.queue import Cursor, Key, Line, Queue, Rotation, Waiting
from relevo.scheduler.room import Room, Shape
from relevo.scheduler.tenants import Account, Ledger

if TYPE_CHECKING:
    from relevo.scheduler.custom import JobView


class _Lane:
    """A lane of the queue, where it stands in this round."""

    __slots__ = ("_source", "account", "cursor", "demand", "shape", "tenant")

    def __init__(self, source: Rotation | Line, demand: Demand, tenant: str, account: Account | None) -> None:
        self._source = source
        self.demand = demand
        self.tenant = tenant
        self.account = account
        self.cursor: Cursor | None = None
        self.shape: Shape | None = None

    def at(self) -> Cursor:
        """Where it stands. Many lanes are never looked into."""
        if self.cursor is None:
            self.cursor = self._source.cursor()
        return self.cursor


#: (minus the priority, beyond the guarantee, share, virtual finish, turn): what decides between groups, then the lane's key.
_GroupKey = tuple[float, bool, float, float, int, Key]
_FIRST: Final[Key] = (-inf, 0)


class _Group:
    """The lanes of a priority, or of a tenant in it where tenants count. Opened when its turn comes: most rounds end before they get to most lanes."""

    __slots__ = ("account", "heap", "key", "opened", "priority", "tenants")

    def __init__(
        self, priority: int, tenants: dict[str, dict[Demand, Rotation | Line]], account: Account | None
    ) -> None:
        self.priority = priority
        self.tenants = tenants
        self.account = account  #: of its only tenant
        self.opened = False
        self.heap: list[tuple[Key, int, _Lane]] = []
        self.key: _GroupKey = (0, False, 0.0, 0.0, 0, _FIRST)


class Decision:
    """A round under way. Changes neither queue nor capacity.

    O(placements + lanes), each times a few operations on bit sets of as many bits as there are agents.
    """

    def __init__(self, queue: Queue, capacity: Capacity, policy: Policy, now_s: float) -> None:
        self._queue = queue
        self._policy = policy
        self._now_s = now_s
        self._nodes = nodes = capacity.nodes()
        self._room = Room(nodes, policy.placement, policy.custom)
        self._ledger = capacity.ledger or Ledger(policy.shares)
        self._ledger.totals = nodes.sums
        self._accounts: dict[str, Account] = {}
        self._counts = policy.fair or bool(policy.shares)  # what tenants have
        self._turn = queue.turn
        self._served = self._ledger.turn
        self.result = Round([], [], {}, [])

    def run(self) -> Round:
        """Place what can be placed."""
        shared = self._counts
        limit = self._policy.round_limit
        placements = self.result.placements
        heap = self._groups()
        while heap:
            _, number, group = heap[0]
            if not group.opened:
                self._open(group)
            elif not shared or not self._renew(group):  # else it got something in another priority
                if len(placements) >= limit:
                    break
                self._serve(group, group.heap[0][2])
                if not group.heap:
                    heappop(heap)
                    continue
                self._renew(group)
            heapreplace(heap, (group.key, number, group))
        return self.result

    def _groups(self) -> list[tuple[_GroupKey, int, _Group]]:
        heap: list[tuple[_GroupKey, int, _Group]] = []
        for priority, tenants in self._queue.lanes.items():
            if self._counts:
                groups = [
                    _Group(priority, {tenant: classes}, self._account(tenant))
                    for tenant, classes in tenants.items()
                ]
            else:
                groups = [_Group(priority, tenants, None)]
            for group in groups:
                group.key = self._key(group, None, self._queue.oldest, _FIRST)
                heap.append((group.key, len(heap), group))
        heapify(heap)
        return heap

    def _open(self, group: _Group) -> None:
        group.opened = True
        for tenant, classes in group.tenants.items():
            account = self._account(tenant) if self._counts else None
            for demand, source in classes.items():
                group.heap.append((source.first, len(group.heap), _Lane(source, demand, tenant, account)))
        heapify(group.heap)
        self._renew(group)

    def _account(self, tenant: str) -> Account:
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = Account(self._ledger, tenant, self._policy.share(tenant))
        return account

    def _renew(self, group: _Group) -> bool:
        """Bring a group's key up to date; whether it was another. It never becomes less, but for the group just served."""
        lane_key, _, lane = group.heap[0]
        since_s = None
        if self._policy.ageing_s and (waiting := lane.at().waiting) is not None:
            since_s = self._queue.since(waiting)
        key = self._key(group, lane, since_s, lane_key)
        if key == group.key:
            return False
        group.key = key
        return True

    def _key(self, group: _Group, lane: _Lane | None, since_s: float | None, lane_key: Key) -> _GroupKey:
        """A group's key; without its first lane, one that is not greater."""
        rank: float = -group.priority
        if self._policy.ageing_s and since_s is not None:
            rank -= int(max(0.0, self._now_s - since_s) / self._policy.ageing_s)
        borrows = False
        if lane is not None and lane.account is not None and self._policy.shares:
            borrows = lane.account.borrows(self._nodes.of_class(lane.demand)[0])
        account = group.account
        if account is None or not self._policy.fair:
            return (rank, borrows, 0.0, 0.0, 0, lane_key)
        return (rank, borrows, account.level, account.finish, account.turn, lane_key)

    def _serve(self, group: _Group, lane: _Lane) -> None:
        cursor, account = lane.at(), lane.account
        shape = lane.shape
        if shape is None:
            shape = lane.shape = self._room.shape(lane.demand)
        waiting = cursor.waiting
        assert waiting is not None
        if account is not None and account.over_quota(shape.uses):
            self._leave(group, lane, waiting, "quota")
            return
        row = -1 if shape.done else self._room.best(shape, self._view(group, lane, waiting))
        if row < 0:
            shape.done = True
            self._leave(group, lane, waiting, "room")
            self._keep_room(waiting, shape)
            return
        self._room.take(row, shape)
        self.result.placements.append(Placement(waiting, shape.demand, self._nodes.rows[row].id))
        self._turn += 1
        if account is not None:
            self._served += 1
            account.take(shape.uses, self._served)
        cursor.advance(self._turn)
        if cursor.waiting is None:
            heappop(group.heap)
        else:
            heapreplace(group.heap, (cursor.key, group.heap[0][1], lane))

    def _view(self, group: _Group, lane: _Lane, waiting: Waiting) -> JobView | None:
        if self._policy.custom is None:
            return None
        from relevo.scheduler.custom import view_of

        return view_of(waiting, group.priority, lane.demand, lane.tenant)

    def _leave(self, group: _Group, lane: _Lane, waiting: Waiting, why: Left) -> None:
        heappop(group.heap)
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
            self.result.reservations.append(Reservation(waiting, shape.demand, self._nodes.rows[row].id))
