"""Backups of a site's database: of one moment, verified, kept by a rule, and given back row by row."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text

from fits_dagster.backup.contents import contents_of, differences
from fits_dagster.backup.dump import make_backup, read_manifest, verify
from fits_dagster.backup.places import find_backup, open_place
from fits_dagster.backup.programs import BackupError
from fits_dagster.backup.restore import restore
from fits_dagster.cli import cli
from fits_dagster.database.server import database_url
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.settings import Settings, load_settings
from fits_dagster.sites import Site, open_site
from fits_dagster.stages import associate, ingest
from fits_dagster.storage.landing import md5_of
from fits_dagster.web.accounts import add_user


@pytest.fixture
def filled(archive: Site, night: list[Path]) -> Site:
    """An archive with files, an account, and work that waits."""
    with archive.engine.begin() as connection:
        for source in night[:4]:
            archive.store.put(source, source.name, md5=md5_of(source))
            add_work(connection, [NewWork(stage="ingest", filename=source.name, no_defer=True)])
    assert drain(archive, ingest.STAGE).done == 4
    drain(archive, associate.STAGE)
    add_user(archive.engine, "anna", "A-long-passw0rd-for-tests", role="staff")
    return archive


def contents(site: Site) -> object:
    with site.engine.connect() as connection:
        return contents_of(connection)


def test_a_backup_gives_back_every_row(filled: Site, settings: Settings, tmp_path: Path) -> None:
    before = contents(filled)
    made = make_backup(settings, "archive", tmp_path)
    verify(settings, made)
    with filled.engine.begin() as connection:
        connection.execute(text("delete from users"))
        connection.execute(text("update header set object = 'lost'"))
    assert contents(filled) != before
    filled.close()
    done = restore(settings, "archive", made)
    assert done.rows == made.rows > 50
    again = open_site(settings, "archive")
    try:
        assert contents(again) == before
    finally:
        again.close()
        drop(settings, str(done.put_aside))


def test_a_backup_is_of_one_moment_though_the_site_is_at_work(
    filled: Site, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fits_dagster.backup import dump

    run_program = dump.run_program

    def while_at_work(*arguments: object) -> None:
        with filled.engine.begin() as connection:
            add_work(connection, [NewWork(stage="ingest", filename="N20251123S0999.fits")])
        run_program(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(dump, "run_program", while_at_work)
    made = make_backup(settings, "archive", tmp_path)
    monkeypatch.undo()
    verify(settings, made)


def test_a_dump_that_has_changed_is_not_taken_for_good(
    filled: Site, settings: Settings, tmp_path: Path
) -> None:
    made = make_backup(settings, "archive", tmp_path)
    content = bytearray(made.dump.read_bytes())
    content[len(content) // 2] ^= 1
    made.dump.write_bytes(content)
    with pytest.raises(BackupError, match="another MD5"):
        verify(settings, made)


def test_a_restore_that_fails_leaves_the_site_as_it_was(
    filled: Site, settings: Settings, tmp_path: Path
) -> None:
    made = make_backup(settings, "archive", tmp_path)
    manifest = json.loads(made.manifest.read_text())
    manifest["tables"]["public.file"]["rows"] += 1
    made.manifest.write_text(json.dumps(manifest))
    before = contents(filled)
    wrong = read_manifest(made.manifest, made.dump)
    with pytest.raises(BackupError, match=r"public\.file: 5 \| 4"):
        restore(settings, "archive", wrong)
    assert contents(filled) == before


def test_a_database_in_use_is_not_replaced(filled: Site, settings: Settings, tmp_path: Path) -> None:
    made = make_backup(settings, "archive", tmp_path)
    with filled.engine.connect() as connection:
        connection.execute(text("select 1"))
        with pytest.raises(BackupError, match="stop the system"):
            restore(settings, "archive", made)


def test_the_newest_are_kept_and_what_is_not_whole_is_no_backup(
    filled: Site, settings: Settings, tmp_path: Path
) -> None:
    made = make_backup(settings, "archive", tmp_path)
    for days in (1, 2, 3):
        moment = made.made_at - timedelta(days=days)
        name = f"archive-{moment:%Y%m%dT%H%M%SZ}"
        (tmp_path / f"{name}.dump").write_bytes(made.dump.read_bytes())
        manifest = json.loads(made.manifest.read_text()) | {"made_at": moment.isoformat()}
        (tmp_path / f"{name}.json").write_text(json.dumps(manifest))
    (tmp_path / "archive-20990101T000000Z.dump").write_bytes(b"broken off")
    place = open_place(settings, str(tmp_path))
    found = place.kept("archive")
    assert len(found) == 4 and found[0].address == str(made.dump)
    assert place.kept("summit") == []
    gone = place.delete_old("archive", 2)
    assert [backup.made_at.date() for backup in gone] == [
        (made.made_at - timedelta(days=days)).date() for days in (2, 3)
    ]
    assert len(place.kept()) == 2


def test_differences_name_the_tables(filled: Site) -> None:
    with filled.engine.connect() as connection:
        before = contents_of(connection)
        connection.execute(text("delete from users"))
        after = contents_of(connection)
        connection.rollback()
    assert [line.split(":")[0] for line in differences(before, after)] == ["public.users"]


def test_by_the_command_line(
    filled: Site, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITS_DAGSTER_ARCHIVE__DATABASE_URL", settings.archive.database_url)
    monkeypatch.setenv("FITS_DAGSTER_HOME", str(settings.home))

    kept = tmp_path / "kept"

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments)

    made = run("backup", "--to", str(kept), "--site", "archive", "--verify", "--keep", "1")
    assert made.exit_code == 0, made.output
    assert "every table is the same" in made.output
    [backup] = open_place(settings, str(kept)).kept()
    assert {path.suffix for path in kept.iterdir()} == {".dump", ".json"}
    assert datetime.now(UTC) - backup.made_at < timedelta(minutes=2)
    listed = run("backup", "--list", "--to", str(kept)).output
    assert backup.address in listed
    dry = run("restore", backup.address, "--dry-run")
    assert dry.exit_code == 0 and listed.split()[1] == dry.output.split()[-2]
    wrong = run("restore", backup.address.replace(".dump", ".json"))
    assert isinstance(wrong.exception, BackupError) and "no whole backup" in str(wrong.exception)
    filled.close()
    done = run("restore", backup.address, "--yes")
    assert done.exit_code == 0, done.output
    drop(settings, done.output.rsplit("the database ", 1)[1].strip())


@pytest.fixture
def bucket(
    archive: Site, settings: Settings, with_bucket: Callable[[Site], Site], monkeypatch: pytest.MonkeyPatch
) -> str:
    """A place in S3 that the settings of the environment name."""
    s3 = with_bucket(archive).settings.s3
    place = f"s3://{s3.bucket}/of/the/databases"
    monkeypatch.setenv("FITS_DAGSTER_HOME", str(settings.home))
    monkeypatch.setenv("FITS_DAGSTER_ARCHIVE__DATABASE_URL", settings.archive.database_url)
    monkeypatch.setenv("FITS_DAGSTER_ARCHIVE__S3__ENDPOINT_URL", s3.endpoint_url)
    monkeypatch.setenv("FITS_DAGSTER_BACKUPS", place)
    return place


def test_in_a_bucket(filled: Site, settings: Settings, bucket: str) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments)

    before = contents(filled)
    made = run("backup", "--site", "archive", "--verify", "--keep", "1")
    assert made.exit_code == 0, made.output + str(made.exception)
    address = made.output.split(": ", 1)[0]
    assert address.startswith(f"{bucket}/archive-")
    assert address in run("backup", "--list").output
    time.sleep(1.1)  # their names have the second
    second = run("backup", "--site", "archive", "--keep", "1")
    assert f"{address}: deleted" in second.output
    address = second.output.split(": ", 1)[0]
    place, kept = find_backup(load_settings(settings.home), address)
    assert place.kept() == [kept]
    with filled.engine.begin() as connection:
        connection.execute(text("delete from users"))
    filled.close()
    done = run("restore", address, "--yes")
    assert done.exit_code == 0, done.output + str(done.exception)
    again = open_site(settings, "archive")
    try:
        assert contents(again) == before
    finally:
        again.close()
        drop(settings, done.output.rsplit("the database ", 1)[1].strip())
    assert not list((settings.home / "backup-workshop").rglob("*.dump")), "nothing stays on this machine"


def test_a_bucket_that_does_not_take_it_is_named(filled: Site, settings: Settings, bucket: str) -> None:
    wrong = CliRunner().invoke(cli, ["backup", "--site", "archive", "--to", "s3://there-is-none/backups"])
    assert isinstance(wrong.exception, BackupError)
    assert str(wrong.exception).startswith("s3://there-is-none/backups: ")


def test_no_backup_takes_the_place_of_another(filled: Site, settings: Settings, tmp_path: Path) -> None:
    place = open_place(settings, str(tmp_path))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(2):
        with place.workshop() as workshop:
            made = make_backup(settings, "archive", workshop, moment=moment)
            if number:
                with pytest.raises(BackupError, match="there already"):
                    place.keep(made)
            else:
                place.keep(made)
    assert len(place.kept()) == 1


def drop(settings: Settings, name: str) -> None:
    url = database_url(settings, "archive").set(database="postgres")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'drop database "{name}"'))
    engine.dispose()
