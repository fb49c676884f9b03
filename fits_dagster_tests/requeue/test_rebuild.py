"""A lost database is made again from the store: the same records, previews and associations."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.requeue.rebuild import progress_of, queue_store
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest, preview
from fits_dagster.storage.landing import md5_of

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


def fill(site: Site, night: list[Path]) -> None:
    for number, source in enumerate(night[:10]):
        path = PATHS[number % 2]
        key = f"{path}/{source.name}" if path else source.name
        site.store.put(source, key, md5=md5_of(source))
        with site.engine.begin() as connection:
            add_work(connection, [NewWork(stage="ingest", path=path, filename=source.name, no_defer=True)])
    for stage in (ingest.STAGE, preview.STAGE, associate.STAGE):
        drain(site, stage)


def state(site: Site) -> tuple[list[Any], list[Any]]:
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


def test_the_store_gives_back_what_the_database_held(archive: Site, night: list[Path]) -> None:
    fill(archive, night)
    before = state(archive)
    assert len(before[0]) == 10 and before[1]
    lose(archive)
    assert sum(report.changed for _, report in queue_store(archive, dry_run=True)) == 10
    assert progress_of(archive).left == 0
    found = {path: report.changed for path, report in queue_store(archive)}
    assert {path: found[path] for path in PATHS} == {"": 5, "processed/science": 5}
    assert archive.settings.preview_path not in found
    # interrupted, and begun again
    assert sum(report.changed for _, report in queue_store(archive)) == 10
    assert progress_of(archive).left == 10
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


def test_by_the_command_line_in_processes_of_its_own(
    archive: Site, settings: Settings, night: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(archive, night)
    before = state(archive)
    lose(archive)
    for name in ("summit", "archive"):
        url = settings.site(name).database_url
        monkeypatch.setenv(f"FITS_DAGSTER_{name.upper()}__DATABASE_URL", url)
    server = archive.engine.url.set(database="postgres").render_as_string(hide_password=False)
    monkeypatch.setenv("FITS_DAGSTER_DATABASE_URL", server)
    command = [sys.executable, "-m", "fits_dagster", "rebuild", "--here", "2", "--home", str(settings.home)]
    done = subprocess.run(
        command, env=dict(os.environ), capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 files in the store, 10 queued" in done.stdout
    assert "done: 10 files" in done.stdout
    assert state(archive) == before
