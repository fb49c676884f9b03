"""Machines are upgraded one after the other: who may work with a schema of another version, who may not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from fits_dagster.schema.compatibility import Step
from fits_dagster.schema.migrate import SchemaVersionError, alembic_config, check_version, migrate, next_step
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.system.database import planned_migrations

HEAD = ScriptDirectory.from_config(alembic_config()).get_current_head()
assert HEAD is not None


@pytest.fixture
def engine(summit: Site) -> Iterator[Engine]:
    yield summit.engine
    become(summit.engine, HEAD, HEAD)


def become(engine: Engine, version: str, programs_from: str) -> None:
    """Let a database be of another version."""
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = :v"), {"v": version})
        connection.execute(text("delete from schema_compatibility"))
        connection.execute(
            text("insert into schema_compatibility (programs_from) values (:v)"), {"v": programs_from}
        )


def test_every_migration_from_now_on_says_who_may_go_on() -> None:
    for script in ScriptDirectory.from_config(alembic_config()).walk_revisions():
        if script.revision >= "0013":
            assert "0013" <= script.module.programs_from <= script.revision


def test_a_later_schema_that_only_adds_is_well(engine: Engine) -> None:
    become(engine, "9001", HEAD)
    check_version(engine)
    with pytest.raises(SchemaVersionError, match="upgrade fits_dagster on this machine"):
        migrate(engine)


def test_a_later_schema_that_takes_away_is_refused(engine: Engine) -> None:
    become(engine, "9002", "9002")
    with pytest.raises(SchemaVersionError, match=r"9002.*upgrade fits_dagster on this machine"):
        check_version(engine)


def test_what_migrating_would_do_is_told_before(engine: Engine, summit: Site, settings: Settings) -> None:
    assert next_step(engine) == Step(HEAD, HEAD, next_step(engine).programs_from)
    assert Step("0014", "0015", "0013").older_go_on
    assert not Step("0012", "0015", "0013").older_go_on
    assert next(planned_migrations(settings)) == f"summit: schema {HEAD}, nothing to do"
    become(engine, "0011", "0011")
    assert "end first what uses the database" in next(planned_migrations(settings))


def test_a_table_in_use_is_waited_for_without_holding_up_others(engine: Engine) -> None:
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0012")
    began, reader = time.monotonic(), threading.Event()

    def hold() -> None:
        with engine.begin() as connection:
            connection.execute(text("lock table alembic_version in share mode"))
            reader.set()
            time.sleep(4)

    thread = threading.Thread(target=hold)
    thread.start()
    reader.wait()
    migrate(engine)
    thread.join()
    assert time.monotonic() - began >= 3
    assert next_step(engine).found == HEAD
