"""A site's database as it was at a past moment, from a base backup and the log that the server archived."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection, create_engine, text

from fits_dagster.backup.past import server_as_of
from fits_dagster.backup.programs import BackupError, run_program
from fits_dagster.cli import cli
from fits_dagster.database.server import (
    database_url,
    start_embedded_server,
    stop_embedded_server,
)
from fits_dagster.settings import Settings, load_settings
from fits_dagster.system.database import prepare_databases

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def archiving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A home with a server of its own, which archives its log into ``log`` beside the home."""
    monkeypatch.delenv("FITS_DAGSTER_DATABASE_URL", raising=False)
    monkeypatch.setenv("FITS_DAGSTER_HOME", str(tmp_path / "home"))
    settings = load_settings(tmp_path / "home")
    log = tmp_path / "log"
    log.mkdir()
    # where the tests are root's the server has an account of its own
    log.chmod(0o777)
    prepare_databases(settings)
    with administrator(settings) as connection:
        connection.execute(text("alter system set archive_mode = on"))
        connection.execute(text(f"""alter system set archive_command = 'cp "%p" "{log}/%f"'"""))
    stop_embedded_server(settings)
    start_embedded_server(settings)
    try:
        yield settings
    finally:
        stop_embedded_server(settings)


@contextmanager
def administrator(settings: Settings) -> Iterator[Connection]:
    engine = create_engine(database_url(settings, "archive"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def add_file(settings: Settings, name: str) -> datetime:
    """Add a file; returns a moment after it, by the server's clock."""
    with administrator(settings) as connection:
        connection.execute(text("insert into file (name) values (:name)"), {"name": name})
        moment = connection.scalar(text("select clock_timestamp()"))
    assert isinstance(moment, datetime)
    # commits of the same second may be on either side of a moment that has no fraction
    time.sleep(1.1)
    return moment.astimezone(UTC)


def files(settings: Settings) -> list[str]:
    with administrator(settings) as connection:
        return list(connection.scalars(text("select name from file order by name")))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_a_database_is_put_back_as_it_was_before_a_mistake(archiving: Settings, tmp_path: Path) -> None:
    add_file(archiving, "N20251123S0001.fits")
    url = database_url(archiving, "archive")
    run_program("pg_basebackup", ["--pgdata", str(tmp_path / "base"), "--checkpoint=fast"], url)
    moment = add_file(archiving, "N20251123S0002.fits") + timedelta(seconds=0.5)
    with administrator(archiving) as connection:
        connection.execute(text("delete from file"))
    assert files(archiving) == []
    archive_the_log(archiving)

    places = (
        "--base",
        str(tmp_path / "base"),
        "--log",
        str(tmp_path / "log"),
        "--to",
        str(tmp_path / "kept"),
    )
    made = run(
        "backup", "--as-of", f"{moment:%Y-%m-%dT%H:%M:%S.%f}", *places, "--site", "archive", "--verify"
    )
    assert made.exit_code == 0, str(made.exception)
    assert "every table is the same" in made.output
    [dump] = (tmp_path / "kept").glob("*.dump")
    assert f"{moment:%Y%m%dT%H%M%S}" in dump.name, "it bears the moment that it is of"
    done = run("restore", str(dump), "--yes")
    assert done.exit_code == 0, done.output
    start_embedded_server(archiving)
    assert files(archiving) == ["N20251123S0001.fits", "N20251123S0002.fits"]


def archive_the_log(settings: Settings) -> None:
    """Have the server begin another segment of its log, and wait until it has archived this one."""
    with administrator(settings) as connection:
        segment = connection.scalar(text("select pg_walfile_name(pg_switch_wal())"))
        archived = text("select last_archived_wal >= :segment from pg_stat_archiver")
        deadline = time.monotonic() + 60
        while not connection.scalar(archived, {"segment": segment}):
            assert time.monotonic() < deadline, "the server archives its log"
            time.sleep(0.1)


def test_a_moment_that_the_log_does_not_reach_is_an_error_with_the_servers_words(
    archiving: Settings, tmp_path: Path
) -> None:
    url = database_url(archiving, "archive")
    run_program("pg_basebackup", ["--pgdata", str(tmp_path / "base"), "--checkpoint=fast"], url)
    late = datetime.now(UTC) + timedelta(hours=1)
    with (
        pytest.raises(BackupError, match="before configured recovery target was reached"),
        server_as_of(tmp_path / "base", tmp_path / "log", late),
    ):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--as-of", "2026-01-01T00:00:00"], "go together"),
        (["--as-of", "2999-01-01T00:00:00", "--base", ".", "--log", "."], "has not come yet"),
        (["--as-of", "2026-01-01T00:00:00", "--base", ".", "--log", "."], "no base backup"),
    ],
)
def test_what_is_asked_wrongly_is_said(arguments: list[str], message: str, tmp_path: Path) -> None:
    asked = run("backup", *arguments, "--to", str(tmp_path), "--home", str(tmp_path))
    assert asked.exit_code != 0
    assert message in asked.output or message in str(asked.exception)
