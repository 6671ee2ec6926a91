from __future__ import annotations

from pathlib import Path

import pytest

from relevo.domain.errors import DamagedError
from relevo.runtime import failpoints
from relevo.store.contract import NewerHome
from relevo.store.sqlite import schema
from relevo.store.sqlite.connection import connect_writer
from tests.unit.store.conftest import SqliteHome


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three migrations."""
    steps = tmp_path / "steps"
    steps.mkdir()
    for number in (1, 2, 3):
        (steps / f"000{number}_step.sql").write_text(f"CREATE TABLE step_{number} (x);")
    base = (Path(schema.__file__).parent / "migrations" / "0001_base.sql").read_text()
    (steps / "0001_step.sql").write_text(base)
    return steps


def tables(home: SqliteHome) -> set[object]:
    return {name for (name,) in home.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'step%'")}


def migrate(home: SqliteHome, folder: Path, *, only_new: bool = False) -> None:
    connection = connect_writer(home.path)
    try:
        schema.migrate(connection, home.path, only_new=only_new, folder=str(folder))
    finally:
        connection.close()


def age(home: SqliteHome, folder: Path) -> None:
    """Make a home as a program left it that knew the first migration only."""
    later = [folder / f"000{number}_step.sql" for number in (2, 3)]
    texts = [file.read_text() for file in later]
    for file in later:
        file.unlink()
    migrate(home, folder)
    for file, text in zip(later, texts, strict=True):
        file.write_text(text)


def test_a_new_home_gets_all(home: SqliteHome, folder: Path) -> None:
    migrate(home, folder, only_new=True)
    assert tables(home) == {"step_2", "step_3"}
    numbers = home.execute("SELECT number, name FROM migrations ORDER BY number")
    assert numbers == [(1, "0001_step.sql"), (2, "0002_step.sql"), (3, "0003_step.sql")]
    migrate(home, folder)


def test_an_older_home_is_migrated_only_by_who_may(home: SqliteHome, folder: Path) -> None:
    age(home, folder)
    migrate(home, folder, only_new=True)
    assert tables(home) == set()
    migrate(home, folder)
    assert tables(home) == {"step_2", "step_3"}


def test_a_migration_that_fails_leaves_the_home_as_it_was(home: SqliteHome, folder: Path) -> None:
    age(home, folder)
    failpoints.arm("store.in-migration=error:2")
    try:
        with pytest.raises(OSError, match="failpoint"):
            migrate(home, folder)
    finally:
        failpoints.arm("")
    assert tables(home) == set()
    migrate(home, folder)
    assert tables(home) == {"step_2", "step_3"}


def test_a_home_with_another_history_is_not_migrated(home: SqliteHome, folder: Path) -> None:
    age(home, folder)
    base = folder / "0001_step.sql"
    base.write_text(base.read_text() + "-- changed after its release\n")
    with pytest.raises(DamagedError, match="0001_step"):
        migrate(home, folder)
    assert tables(home) == set()


def test_an_older_program_refuses_a_newer_home(home: SqliteHome, folder: Path) -> None:
    migrate(home, folder)
    (folder / "0003_step.sql").unlink()
    with pytest.raises(NewerHome) as met:
        migrate(home, folder)
    assert (met.value.found, met.value.known) == (3, 2)
