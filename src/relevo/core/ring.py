"""A bounded ring: the latest items by number, older ones overwritten. Readers say where they are and learn what they missed."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Read(NamedTuple, Generic[T]):
    """What a reader gets."""

    items: list[T]
    next: int  #: where to read on
    missed: int  #: items that were overwritten before they were read


class Ring(Generic[T]):
    """The latest `capacity` items; the first ever has number 0. One thread."""

    __slots__ = ("_items", "capacity", "next")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a ring holds at least one item, not {capacity}")
        self.capacity = capacity
        self.next = 0  #: number of the next item, and how many there ever were
        self._items: list[T] = []

    def __len__(self) -> int:
        return len(self._items)

    @property
    def first(self) -> int:
        """Number of the oldest item that is there; `next` when it is empty."""
        return self.next - len(self._items)

    def push(self, item: T) -> int:
        """Add an item; returns its number. O(1)."""
        number = self.next
        if len(self._items) < self.capacity:
            self._items.append(item)
        else:
            self._items[number % self.capacity] = item
        self.next = number + 1
        return number

    def read(self, start: int, limit: int | None = None) -> Read[T]:
        """Items from number `start` on, at most `limit`. O(items)."""
        begin = max(start, self.first)
        end = self.next if limit is None else min(self.next, begin + limit)
        if begin >= end:
            return Read([], max(start, begin), max(0, begin - start))
        at, stop = begin % self.capacity, (end - 1) % self.capacity + 1
        items = self._items
        found = items[at:stop] if at < stop else items[at:] + items[:stop]
        return Read(found, end, begin - start)
