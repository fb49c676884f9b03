"""A lost database is made again from the store: the same records, previews and associations."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work, claim, new_lease
from fits_dagster.ledger.loop import drain
from fits_dagster.requeue.rebuild import progress_of, queue_store
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest, preview
from fits_dagster.storage.landing import md5_of
from fits_dagster_tests.builders.page_cache import is_in_memory

PATHS = ("", "processed/science")
RECORDS = text("""
select d.path, f.name, d.data_md5, d.filename, h.data_label, h.instrument, h.ut_datetime, p.filename
from diskfile d join file f on f.id = d.file_id join header h on h.diskfile_id = d.id
left join preview p on p.diskfile_id = d.id where d.canonical order by 1, 2
""")
ANSWERS = text("""
select f.name, a.caltype, cardinality(a.cal_hids) as number from calibration_answer a
join header h on h.id = a.header_id join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
order by 1, 2
""")
#: Records with their previews, and associations.
Held = tuple[list[Any], list[Any]]
#: The command line, whose first process at a file is killed.
DEADLY = """
import os, signal
from fits_dagster.cli import main
from fits_dagster.stages import ingest

work = type(ingest.STAGE).work


def deadly(stage, site, item, known):
    if item.filename == os.environ["DEADLY"] and not item.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return work(stage, site, item, known)


type(ingest.STAGE).work = deadly
main()
"""


def fill(site: Site, night: list[Path]) -> None:
    for number, source in enumerate(night[:10]):
        path = PATHS[number % 2]
        key = f"{path}/{source.name}" if path else source.name
        site.store.put(source, key, md5=md5_of(source))
        with site.engine.begin() as connection:
            add_work(connection, [NewWork(stage="ingest", path=path, filename=source.name, no_defer=True)])
    for stage in (ingest.STAGE, preview.STAGE, associate.STAGE):
        drain(site, stage)


def state(site: Site) -> Held:
    with site.engine.connect() as connection:
        return list(connection.execute(RECORDS).all()), list(connection.execute(ANSWERS).all())


def lose(site: Site) -> None:
    """Empty every table, as a new database is."""
    with site.engine.begin() as connection:
        tables = connection.scalars(
            text(
                "select tablename from pg_tables where schemaname = 'public' "
                "and tablename !~ 'alembic|compatibility'"
            )
        ).all()
        connection.execute(text(f"truncate {', '.join(tables)} restart identity cascade"))


@pytest.fixture
def before(archive: Site, night: list[Path]) -> Held:
    """What the database held that is lost; its store is there."""
    fill(archive, night)
    held = state(archive)
    lose(archive)
    return held


def test_the_store_gives_back_what_the_database_held(archive: Site, night: list[Path]) -> None:
    fill(archive, night)
    before = state(archive)
    assert len(before[0]) == 10 and before[1]
    lose(archive)
    assert sum(report.changed for _, report in queue_store(archive, dry_run=True)) == 10
    assert progress_of(archive, datetime.now(UTC)).left == 0
    found = {path: report.changed for path, report in queue_store(archive)}
    assert {path: found[path] for path in PATHS} == {"": 5, "processed/science": 5}
    assert archive.settings.preview_path not in found
    # interrupted, and begun again
    assert sum(report.changed for _, report in queue_store(archive)) == 10
    assert progress_of(archive, datetime.now(UTC)).left == 10
    for stage in (ingest.STAGE, preview.STAGE, associate.STAGE):
        drain(archive, stage)
    assert state(archive) == before
    assert sum(report.changed for _, report in queue_store(archive)) == 0


def test_the_same_from_s3(archive: Site, night: list[Path], with_bucket: Callable[[Site], Site]) -> None:
    on_s3 = with_bucket(archive)
    fill(on_s3, night)
    before = state(on_s3)
    lose(on_s3)
    assert {path for path, report in queue_store(on_s3) if report.changed} == {*PATHS}
    for stage in (ingest.STAGE, preview.STAGE, associate.STAGE):
        drain(on_s3, stage)
    assert state(on_s3) == before


def by_the_command_line(
    archive: Site, settings: Settings, monkeypatch: pytest.MonkeyPatch, *program: str
) -> subprocess.CompletedProcess[str]:
    for name in ("summit", "archive"):
        url = settings.site(name).database_url
        monkeypatch.setenv(f"FITS_DAGSTER_{name.upper()}__DATABASE_URL", url)
    server = archive.engine.url.set(database="postgres").render_as_string(hide_password=False)
    monkeypatch.setenv("FITS_DAGSTER_DATABASE_URL", server)
    command = [sys.executable, *program, "rebuild", "--here", "2", "--home", str(settings.home)]
    return subprocess.run(
        command, env=dict(os.environ), capture_output=True, text=True, timeout=150, check=False
    )


def test_by_the_command_line_in_processes_of_its_own(
    archive: Site, settings: Settings, before: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = by_the_command_line(archive, settings, monkeypatch, "-m", "fits_dagster")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 files in the store, 10 queued" in done.stdout
    assert "done: 10 files" in done.stdout
    assert state(archive) == before
    if sys.platform == "linux":
        # a store is larger than the memory
        directory = archive.settings.store_directory
        assert directory is not None
        assert not any(is_in_memory(path) for path in directory.rglob("*.fits"))


def test_what_a_killed_process_had_in_hand_is_taken_up_by_another_at_once(
    archive: Site,
    settings: Settings,
    night: list[Path],
    before: Held,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(DEADLY)
    monkeypatch.setenv("DEADLY", night[4].name)
    # no test waits so long: they are not waited for
    monkeypatch.setenv("FITS_DAGSTER_WORK__LEASE_SECONDS", "600")
    done = by_the_command_line(archive, settings, monkeypatch, str(program))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("a process was killed, its files are taken up again") == 1
    assert "done: 10 files" in done.stdout
    assert state(archive) == before


def test_what_a_killed_command_had_in_hand_is_taken_up_when_its_lease_ends(
    archive: Site, settings: Settings, before: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in queue_store(archive):
        pass
    with archive.engine.begin() as connection:
        assert len(claim(connection, "ingest", new_lease("another host:1", 5.0), limit=3)) == 3
    done = by_the_command_line(archive, settings, monkeypatch, "-m", "fits_dagster")
    assert done.returncode == 0, done.stdout + done.stderr
    assert state(archive) == before


def test_a_file_that_fails_is_told_however_often_the_rebuild_is_begun(
    archive: Site, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "N20251123S0009.fits"
    source.write_bytes(b"not FITS" * 400)
    archive.store.put(source, source.name, md5=md5_of(source))
    for _ in range(2):
        done = by_the_command_line(archive, settings, monkeypatch, "-m", "fits_dagster")
        assert (done.returncode, "done: 1 files, 1 failed" in done.stdout) == (1, True), done.stderr
