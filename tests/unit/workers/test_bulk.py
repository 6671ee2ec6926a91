"""Blobs from and to agents: whole or not at all, and nothing left of those that broke off."""

from __future__ import annotations

import asyncio

import pytest
from blake3 import blake3

from relevo.blobs.memory import MemoryBlobs
from relevo.domain.errors import InfrastructureError
from relevo.protocol import messages as m
from relevo.testing.virtual_loop import run_virtual
from relevo.workers.bulk import PIECE_BYTES, Bulk
from tests.unit.orchestrator.kit import until

DATA = b"bytes of an artifact" * 100
DIGEST = blake3(DATA).hexdigest()


class Link:
    """Keeps what is sent to the agent."""

    def __init__(self) -> None:
        self.sent: list[m.BlobBytes] = []

    def send(self, message: m.BlobBytes) -> None:
        self.sent.append(message)


class Kit:
    def __init__(self, **things: str | bytes) -> None:
        self.blobs = MemoryBlobs()
        self.things = {name.replace("_", ":"): thing for name, thing in things.items()}
        self.bulk = Bulk(self.blobs, self.resolve, asyncio.get_running_loop().create_task)
        self.link = Link()

    async def resolve(self, what: str) -> str | bytes:
        if what == "broken:":
            raise ZeroDivisionError("a bug")
        return self.things[what]

    def put(
        self, data: bytes = DATA, digest: str = DIGEST, *, parts: int = 4, upto: int | None = None
    ) -> None:
        size = len(data) // parts
        for part in range(parts if upto is None else upto):
            start = part * size
            stop = len(data) if part == parts - 1 else start + size
            self.bulk.put(self.link, m.PutBlob(digest, start, data[start:stop], part == parts - 1))

    async def durable(self, digest: str = DIGEST) -> bool:
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.bulk.durable(digest, told.set_result)
        return await told

    @property
    def clean(self) -> bool:
        return not self.bulk._writing and not self.bulk._storing


def test_a_blob_is_durable_once_all_of_it_came():
    async def main():
        kit = Kit()
        kit.put()
        assert await kit.durable()
        assert kit.blobs.held == {DIGEST: DATA}
        assert kit.clean
        assert await kit.durable()

    run_virtual(main())


def test_what_broke_off_leaves_nothing_and_comes_again():
    async def main():
        kit = Kit()
        kit.put(upto=2)
        kit.bulk.gone(kit.link)
        assert not await kit.durable()
        assert kit.clean
        kit.put()
        assert await kit.durable()

    run_virtual(main())


def test_a_disk_without_room_for_a_new_file_is_asked_again_once_there_is_some():
    async def main():
        kit = Kit()
        create, full = kit.blobs.create, True

        async def refused():
            if full:
                raise InfrastructureError("no room")
            return await create()

        kit.blobs.create = refused
        kit.put()
        assert not await kit.durable()
        assert kit.clean
        full = False
        kit.put()
        assert await kit.durable()

    run_virtual(main())


@pytest.mark.parametrize("digest", ["0" * 64, "../../etc/passwd", ""])
def test_bytes_that_are_not_those_of_the_name_are_refused(digest):
    async def main():
        kit = Kit()
        kit.put(digest=digest)
        assert not await kit.durable(digest)
        assert kit.clean

    run_virtual(main())


def test_the_middle_of_something_given_up_is_dropped():
    async def main():
        kit = Kit()
        kit.bulk.put(kit.link, m.PutBlob(DIGEST, 10, b"x", True))
        assert kit.clean
        assert not await kit.durable()

    run_virtual(main())


def test_a_blob_that_nobody_names_leaves_nothing_behind():
    async def main():
        kit = Kit()
        kit.put()
        await until(lambda: kit.clean)
        assert kit.blobs.held == {DIGEST: DATA}

    run_virtual(main())


def test_pieces_are_served_until_the_last():
    async def main():
        big = b"z" * (PIECE_BYTES + 1)
        kit = Kit(secrets_r=b"sealed", artifact_r=DIGEST)
        kit.put(big, blake3(big).hexdigest())
        kit.put()
        assert await kit.durable()
        for number, (what, start) in enumerate(
            [("secrets:r", 0), ("artifact:r", 5), (f"blob:{blake3(big).hexdigest()}", 0)]
        ):
            kit.bulk.get(kit.link, m.GetBlob(number, what, start))
        await until(lambda: len(kit.link.sent) == 3)
        found = {one.request: one for one in kit.link.sent}
        assert (found[0].data, found[0].last) == (b"sealed", True)
        assert (found[1].data, found[1].last) == (DATA[5:], True)
        assert (len(found[2].data), found[2].last) == (PIECE_BYTES, False)

    run_virtual(main())


@pytest.mark.parametrize("what", ["nothing:", "blob:nothing", "blob:../key", "", "broken:"])
def test_who_asks_for_what_there_is_not_gets_an_answer(what):
    async def main():
        kit = Kit()
        kit.bulk.get(kit.link, m.GetBlob(1, what))
        await until(lambda: kit.link.sent)
        assert kit.link.sent[0].error
        assert kit.link.sent[0].last

    run_virtual(main())
