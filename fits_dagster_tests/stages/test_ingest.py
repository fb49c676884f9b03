"""Ingest: one pass over a file, one transaction for a version; unchanged files cost nothing."""

from __future__ import annotations

import bz2
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.requeue.rescan import rescan
from fits_dagster.sites import Site
from fits_dagster.stages import ingest


def ingest_files(site: Site, *names: str, path: str = "", **options: Any) -> DrainReport:
    with site.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", path=path, filename=n, **options) for n in names])
    return drain(site, ingest.STAGE)


def put(site: Site, source: Path, name: str | None = None, *, path: str = "") -> Path:
    assert site.settings.store_directory is not None
    target = site.settings.store_directory / path / (name or source.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    return target


def one(site: Site, statement: str, **values: object) -> Any:
    with site.engine.connect() as connection:
        return connection.execute(text(statement), values).one()


def scalar(site: Site, statement: str) -> Any:
    with site.engine.connect() as connection:
        return connection.scalar(text(statement))


def test_a_new_file_gets_version_record_headers_and_follow_up_work(archive: Site, night: list[Path]) -> None:
    put(archive, night[0])
    report = ingest_files(archive, night[0].name)
    assert report.outcomes == {"ingested": 1}, report.failures
    row = one(archive, "select * from diskfile join header h on h.diskfile_id = diskfile.id")
    assert (row.present, row.canonical, row.isfits, row.mdready) == (True, True, True, True)
    assert row.file_md5 == row.data_md5
    assert row.instrument == "GMOS-N"
    full = scalar(archive, "select fulltext from fulltextheader")
    assert full.startswith(f"Filename: {night[0].name}\n")
    assert "--- HDU 12 ---" in full
    assert scalar(archive, "select count(*) from gmos") == 1
    assert scalar(archive, "select count(*) from footprint") > 0
    stages = scalar(archive, "select string_agg(distinct stage, ',' order by stage) from work_item")
    assert stages == "associate,preview"


def test_the_summit_queues_an_export_for_each_destination(connected_summit: Site, night: list[Path]) -> None:
    put(connected_summit, night[0])
    ingest_files(connected_summit, night[0].name)
    row = one(connected_summit, "select stage, destination from work_item")
    assert (row.stage, row.destination) == ("export", connected_summit.settings.export_destinations[0])


def test_an_unchanged_file_is_left_alone_without_being_opened(archive: Site, night: list[Path]) -> None:
    target = put(archive, night[0])
    ingest_files(archive, night[0].name)
    stat = target.stat()
    target.write_bytes(b"X" * stat.st_size)
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert ingest_files(archive, night[0].name).outcomes == {"unchanged": 1}
    assert scalar(archive, "select count(*) from diskfile") == 1


def test_a_touched_file_with_the_same_bytes_only_gets_its_time_refreshed(
    archive: Site, night: list[Path]
) -> None:
    target = put(archive, night[0])
    ingest_files(archive, night[0].name)
    os.utime(target, (1_700_000_000, 1_700_000_000))
    assert ingest_files(archive, night[0].name).outcomes == {"unchanged": 1}
    row = one(archive, "select lastmod from diskfile")
    assert row.lastmod.timestamp() == 1_700_000_000


def test_changed_bytes_make_a_new_version_and_demote_the_old_one(archive: Site, night: list[Path]) -> None:
    target = put(archive, night[0])
    ingest_files(archive, night[0].name)
    content = bytearray(target.read_bytes())
    content[-2880] ^= 1
    target.write_bytes(content)
    assert ingest_files(archive, night[0].name).outcomes == {"ingested": 1}
    with archive.engine.connect() as connection:
        flags = connection.execute(text("select present, canonical from diskfile order by id")).all()
    assert [tuple(f) for f in flags] == [(False, False), (True, True)]


def test_force_makes_a_new_version_of_the_same_bytes(archive: Site, night: list[Path]) -> None:
    put(archive, night[0])
    ingest_files(archive, night[0].name)
    assert ingest_files(archive, night[0].name, force=True).outcomes == {"ingested": 1}


def test_force_md5_looks_at_the_bytes_although_time_and_size_are_the_same(
    archive: Site, night: list[Path]
) -> None:
    target = put(archive, night[0])
    ingest_files(archive, night[0].name)
    stat = target.stat()
    content = bytearray(target.read_bytes())
    content[-2880] ^= 1
    target.write_bytes(content)
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert ingest_files(archive, night[0].name).outcomes == {"unchanged": 1}
    assert ingest_files(archive, night[0].name, force_md5=True).outcomes == {"ingested": 1}


def test_a_compressed_file_is_one_file_with_its_plain_form(archive: Site, night: list[Path]) -> None:
    target = put(archive, night[0])
    ingest_files(archive, night[0].name)
    squeezed = target.with_name(f"{target.name}.bz2")
    squeezed.write_bytes(bz2.compress(target.read_bytes()))
    target.unlink()
    assert ingest_files(archive, squeezed.name).outcomes == {"ingested": 1}
    assert scalar(archive, "select count(*) from file") == 1
    with archive.engine.connect() as connection:
        rows = connection.execute(
            text("select compressed, present, data_md5, file_md5 from diskfile order by id")
        ).all()
    assert [(r.compressed, r.present) for r in rows] == [(False, False), (True, True)]
    assert rows[0].data_md5 == rows[1].data_md5 != rows[1].file_md5


def test_the_same_name_at_two_paths_has_two_chains_of_versions(archive: Site, night: list[Path]) -> None:
    put(archive, night[0])
    put(archive, night[0], path="products")
    ingest_files(archive, night[0].name)
    ingest_files(archive, night[0].name, path="products")
    assert scalar(archive, "select count(*) from file") == 1
    assert scalar(archive, "select count(*) from diskfile where present and canonical") == 2


def test_a_bad_file_among_good_ones_fails_alone(archive: Site, night: list[Path]) -> None:
    for source in night[:4]:
        put(archive, source)
    bad = put(archive, night[4])
    bad.write_bytes(bad.read_bytes()[:-4000])
    text_file = put(archive, night[5])
    text_file.write_text("not FITS at all")
    report = ingest_files(archive, *(p.name for p in night[:6]), "N20251123S9999.fits")
    assert report.done == 4
    assert {f.filename: f.reason for f in report.failures} == {
        bad.name: "truncated",
        text_file.name: "not_fits",
        "N20251123S9999.fits": "file_missing",
    }
    for failure in report.failures:
        assert failure.filename in failure.error


def test_a_header_with_odd_bytes_is_accepted_with_a_report(archive: Site, night: list[Path]) -> None:
    target = put(archive, night[0])
    content = target.read_bytes()
    at = content.index(b"OBJECT  =")
    odd = content[:at] + b"OBJECT  = 'caf\xe9 \x01 unterminated".ljust(80) + content[at + 80 :]
    target.write_bytes(odd)
    assert ingest_files(archive, target.name).outcomes == {"ingested": 1}
    assert scalar(archive, "select fvwarnings from diskfile") > 0
    assert scalar(archive, "select fvreport from diskfilereport") != ""


def test_a_name_without_a_night_is_ingested_all_the_same(archive: Site, night: list[Path]) -> None:
    put(archive, night[0], "somebody's file.fits")
    assert ingest_files(archive, "somebody's file.fits").outcomes == {"ingested": 1}
    assert scalar(archive, "select night from event") == "00000000"


def test_an_observation_log_needs_no_header(archive: Site, tmp_path: Path) -> None:
    log = tmp_path / "20251123_GN-2025B-Q-101_obslog.txt"
    log.write_text("log of the night")
    put(archive, log)
    assert ingest_files(archive, log.name).outcomes == {"ingested": 1}
    row = one(archive, "select program_id, date from obslog")
    assert (row.program_id, str(row.date)) == ("GN-2025B-Q-101", "2025-11-23")


@pytest.mark.parametrize(
    "day", ["0001-01-01", "9999-12-31", "9999-12-31T23:59:60", "2020-02-31", "-", "1e400"]
)
@pytest.mark.parametrize("clock", ["24:00:00", "23:59:60", "xx", "1e300"])
def test_no_date_however_odd_fails_an_ingest(archive: Site, tmp_path: Path, day: str, clock: str) -> None:
    header = fits.Header({"INSTRUME": "NIRI", "DATE-OBS": day, "UT": clock, "RELEASE": day, "LT": clock})
    header["UTDATE"], header["OBSSTART"], header["MJD-OBS"] = day, day, 1e300
    path = tmp_path / "odd.fits"
    fits.PrimaryHDU(header=header).writeto(path)
    put(archive, path)
    assert ingest_files(archive, path.name).outcomes == {"ingested": 1}
    instant = scalar(archive, "select ut_datetime from header")
    assert instant is None or instant.year < 2100
    assert scalar(archive, "select mdreport from diskfilereport") != ""


@pytest.mark.parametrize("time", [-(1 << 40), 1 << 40])
def test_no_time_of_a_file_however_odd_stops_a_rescan(archive: Site, night: list[Path], time: int) -> None:
    odd = put(archive, night[0])
    try:
        os.utime(odd, (time, time))
    except OSError:
        pytest.skip("this file system has no such times")
    put(archive, night[1])
    assert rescan(archive).changed == 2
    assert ingest_files(archive).outcomes == {"ingested": 2}
    assert rescan(archive).changed == 0


def test_a_file_and_its_compressed_twin_in_one_group_supersede_each_other(
    archive: Site, night: list[Path]
) -> None:
    plain = put(archive, night[0])
    packed = plain.with_name(f"{plain.name}.bz2")
    packed.write_bytes(bz2.compress(plain.read_bytes() + bytes(2880)))
    report = ingest_files(archive, plain.name, packed.name, no_defer=True)
    assert report.outcomes == {"ingested": 2}, report.failures
    assert scalar(archive, "select count(*) from file") == 1
    assert scalar(archive, "select count(*) from diskfile where present") == 1
    assert scalar(archive, "select count(*) from diskfile") == 2


def test_a_result_that_cannot_be_written_costs_no_other_of_its_group(
    archive: Site, night: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in night[:3]:
        put(archive, path)
    bad = night[1].name
    write = ingest.write_versions

    def refuses(site: Site, connection: Any, arrivals: Any) -> Any:
        if any(each.item.filename == bad for each in arrivals):
            connection.execute(text("select 1 / 0"))
        return write(site, connection, arrivals)

    monkeypatch.setattr(ingest, "write_versions", refuses)
    report = ingest_files(archive, *(path.name for path in night[:3]), no_defer=True)
    assert report.outcomes == {"ingested": 2}
    assert [failure.filename for failure in report.failures] == [bad]
    assert scalar(archive, "select count(*) from diskfile where present") == 2
