"""How a run is removed."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from relevo.store.contract import LiveRun


def delete_run(cursor: apsw.Cursor, run: str, sequence: int, facts: Sequence[str] = ()) -> None:
    """Remove an ended run within the open transaction, and the facts with these keys; `sequence` is the last one given.

    Raises LiveRun.
    """
    # `get` reads to the end: a statement left open would hold its snapshot, and the next commit would find it stale.
    found = cursor.execute("SELECT version, head, live FROM streams WHERE stream = ?", (run,)).get
    if found is not None:
        version, head, live = found
        if live:
            raise LiveRun(run, version)
        while head:
            previous = cursor.execute("SELECT previous FROM appends WHERE sequence = ?", (head,)).get
            cursor.execute("DELETE FROM appends WHERE sequence = ?", (head,))
            head = previous
        cursor.execute("DELETE FROM streams WHERE stream = ?", (run,))
        cursor.execute(
            "INSERT INTO meta VALUES ('last_deleted', ?)"
            " ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            (sequence,),
        )
    cursor.executemany(
        "DELETE FROM facts WHERE key = ?", [(key,) for key in (*facts_of(cursor, run), *facts)]
    )


def facts_of(cursor: apsw.Cursor, run: str) -> list[str]:
    """Keys of the facts that belong to a run: `kind/<run>` and `kind/<run>/…`. There are few kinds: a seek finds the next."""
    keys: list[str] = []
    kind = ""
    while (key := cursor.execute("SELECT key FROM facts WHERE key >= ? LIMIT 1", (kind,)).get) is not None:
        name = key.partition("/")[0]
        # "0" is the character that follows "/".
        keys += (
            found
            for (found,) in cursor.execute(
                "SELECT key FROM facts WHERE key = ? OR (key >= ? AND key < ?)",
                (f"{name}/{run}", f"{name}/{run}/", f"{name}/{run}0"),
            )
        )
        kind = f"{name}0"
    return keys
