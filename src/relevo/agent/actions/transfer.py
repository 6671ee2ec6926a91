"""Blobs between an action and the engine, by way of a file: memory stays flat, and nothing is used before it is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import IO

from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.reporter import BlobUnavailable


async def fetch(ctx: ActionContext, what: str, path: str) -> None:
    """Write a blob into a new file. Raises ActionFailed when the engine has no such blob or it is damaged."""
    file: IO[bytes] = await ctx.blocking(open, path, "xb")
    try:
        async for chunk in ctx.reporter.get_blob(what):
            await ctx.blocking(file.write, chunk)
    except BlobUnavailable as error:
        raise ActionFailed(str(error)) from error
    finally:
        await ctx.blocking(file.close)


async def chunks(ctx: ActionContext, source: Iterator[bytes]) -> AsyncIterator[bytes]:
    """What a blocking iterator gives, taken from it in the agent's pool."""
    while chunk := await ctx.blocking(next, source, b""):
        yield chunk
