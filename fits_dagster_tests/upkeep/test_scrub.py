"""Scrub: rotten bytes are found, kept, and replaced by a copy that is good; the last copy is never lost."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from fits_dagster.checks.standing import CheckResult, checks_of
from fits_dagster.cli import cli
from fits_dagster.intake.uploads import Reception, ReservedPathError
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.stages import export, ingest, store
from fits_dagster.storage.landing import md5_of
from fits_dagster.upkeep.scrub import ScrubReport, ScrubRequest, scrub_store, send_again
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.flow import carry, store_of
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer, serve

ALL = ScrubRequest()


def rot(path: Path) -> bytes:
    """Flip a bit, as a disk does: size and time stay; returns the rotten bytes."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return bytes(content)


def scrub(site: Site, request: ScrubRequest = ALL, **options: Any) -> ScrubReport:
    return scrub_store(site, request, who="anna", **options)


def present(site: Site) -> set[str]:
    with site.engine.connect() as connection:
        return set(connection.scalars(text("select filename from diskfile where present")))


def check(site: Site) -> CheckResult:
    [found] = [each for each in checks_of(site.settings) if each.name == "stored_files_intact"]
    return found.look(site)


def kept(site: Site) -> list[Path]:
    return sorted(path for path in (store_of(site) / "quarantine").rglob("*") if path.is_file())


def bring(summit: Site, archive: Site, files: list[Path]) -> None:
    carry(summit, archive, files)
    for site in (summit, archive):
        with site.engine.begin() as connection:
            connection.execute(text("delete from work_item"))
            connection.execute(text("update header set release = '2020-01-01'"))


@pytest.fixture
def summit_http(summit: Site) -> Iterator[HttpServer]:
    server, stop = serve(create_app(summit, session_hours=1))
    yield server
    stop()


@pytest.fixture
def pair(
    connected_summit: Site,
    archive: Site,
    archive_http: HttpServer,
    summit_http: HttpServer,
    night: list[Path],
) -> tuple[Site, Site]:
    """Both sites with three files, each the other's replica."""
    remembered("pair", [connected_summit, archive], lambda: bring(connected_summit, archive, night[:3]))
    replicated = archive.settings.model_copy(update={"replicas": (summit_http.url,)})
    back = connected_summit.settings.model_copy(update={"replicas": (archive_http.url,)})
    return replace(connected_summit, settings=back), replace(archive, settings=replicated)


def test_an_intact_store_has_nothing_to_mend(pair: tuple[Site, Site]) -> None:
    summit, _ = pair
    assert "never scrubbed" in check(summit).summary
    report = scrub(summit)
    assert (report.files, report.bad, report.unread, report.complete) == (3, [], {}, True)
    found = check(summit)
    assert found.passed and found.figures["files"] == 3


def test_a_rotten_file_is_kept_and_restored_from_the_directory_it_came_from(
    pair: tuple[Site, Site], night: list[Path]
) -> None:
    summit, _ = pair
    path = store_of(summit) / night[1].name
    rotten = rot(path)
    [told] = scrub(summit, ScrubRequest(dry_run=True)).bad
    assert (told.key, told.kept_as, path.read_bytes()) == (night[1].name, None, rotten)
    [bad] = scrub(summit).bad
    assert (bad.fault, bad.restored_from) == ("altered", str(summit.settings.dhs_directory))
    assert path.read_bytes() == night[1].read_bytes()
    assert [each.read_bytes() for each in kept(summit)] == [rotten]
    assert scrub(summit).bad == []
    assert (check(summit).passed, check(summit).figures["bad"]) == (True, 0)
    with summit.engine.connect() as connection:
        [said] = connection.scalars(text("select detail from audit where action = 'quarantine'"))
    assert night[1].name in said


@pytest.mark.parametrize("at", ["summit", "archive"])
def test_a_rotten_file_is_restored_from_the_other_site(
    pair: tuple[Site, Site], night: list[Path], at: str
) -> None:
    summit, archive = pair
    site, other = (summit, archive) if at == "summit" else (archive, summit)
    assert summit.settings.dhs_directory is not None
    for source in night[:3]:
        (summit.settings.dhs_directory / source.name).unlink()
    [path] = [each for each in store_of(site).iterdir() if night[0].name in each.name]
    good = path.read_bytes()
    rot(path)
    [bad] = scrub(site).bad
    assert bad.restored_from == site.settings.replicas[0]
    assert path.read_bytes() == good
    assert scrub(site).bad == scrub(other).bad == []
    assert len(present(site)) == 3


def test_a_bad_copy_elsewhere_is_never_taken_and_nothing_is_deleted(
    pair: tuple[Site, Site], night: list[Path]
) -> None:
    summit, archive = pair
    assert summit.settings.dhs_directory is not None
    rot(summit.settings.dhs_directory / night[0].name)
    [there] = [each for each in store_of(archive).iterdir() if night[0].name in each.name]
    rotten_there = rot(there)
    rotten = rot(store_of(summit) / night[0].name)
    [bad] = scrub(summit).bad
    assert bad.restored_from is None
    assert "MD5" in bad.detail
    assert [each.read_bytes() for each in kept(summit)] == [rotten]
    assert there.read_bytes() == rotten_there
    assert night[0].name not in present(summit)
    found = check(summit)
    assert not found.passed and [row["file"] for row in found.rows] == [night[0].name]


def test_what_cannot_be_fetched_is_sent_again_by_the_other_site(
    pair: tuple[Site, Site], night: list[Path]
) -> None:
    summit, archive = pair
    with summit.engine.begin() as connection:
        connection.execute(text("update header set release = '2999-01-01'"))
    [path] = [each for each in store_of(archive).iterdir() if night[2].name in each.name]
    rot(path)
    [bad] = scrub(archive, requeue=lambda where, name: send_again(summit, where, name)).bad
    assert bad.restored_from is None and "403" in bad.detail and "asked for again" in bad.detail
    assert not check(archive).passed
    for site, stage in ((summit, export.STAGE), (archive, store.STAGE), (archive, ingest.STAGE)):
        assert drain(site, stage).done == 1
    assert check(archive).passed
    assert scrub(archive).bad == []
    assert len(present(archive)) == 3


def test_a_missing_file_is_restored(pair: tuple[Site, Site], night: list[Path]) -> None:
    summit, _ = pair
    (store_of(summit) / night[0].name).unlink()
    [bad] = scrub(summit).bad
    assert (bad.fault, bad.kept_as) == ("missing", None)
    assert (store_of(summit) / night[0].name).read_bytes() == night[0].read_bytes()


def test_what_somebody_writes_or_works_on_is_left_alone(pair: tuple[Site, Site], night: list[Path]) -> None:
    summit, _ = pair
    rot(store_of(summit) / night[0].name)
    os.utime(store_of(summit) / night[0].name)
    rot(store_of(summit) / night[1].name)
    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="edit", filename=night[1].name)])
    report = scrub(summit)
    assert (report.bad, report.changed) == ([], [night[0].name])


def test_a_scrub_with_little_time_goes_on_where_it_ended(pair: tuple[Site, Site]) -> None:
    summit, _ = pair
    rounds = [scrub(summit, ScrubRequest(seconds=0.001, rate=50.0)) for _ in range(3)]
    assert [one.files for one in rounds] == [1, 1, 1]
    assert scrub(summit, ScrubRequest(seconds=60)).complete


def test_a_rate_is_kept(pair: tuple[Site, Site]) -> None:
    summit, _ = pair
    began = time.monotonic()
    report = scrub(summit, ScrubRequest(rate=4.0, night="20251123"))
    assert time.monotonic() - began > report.bytes / 4e6 * 0.9 - 0.3


def test_an_object_of_s3_is_scrubbed_and_restored(
    pair: tuple[Site, Site], night: list[Path], with_bucket: Callable[[Site], Site], tmp_path: Path
) -> None:
    _, archive = pair
    on_s3 = with_bucket(archive)
    [plain] = [each for each in store_of(archive).iterdir() if night[0].name in each.name]
    with archive.engine.begin() as connection:
        connection.execute(
            text("update diskfile set present = false where filename <> :name"), {"name": plain.name}
        )
    on_s3.store.put(plain, plain.name, md5=md5_of(plain))
    rotten = bytearray(plain.read_bytes())
    rotten[100] ^= 1
    client: Any = on_s3.store.client  # type: ignore[attr-defined]
    client.put_object(
        Bucket=on_s3.settings.s3.bucket, Key=plain.name, Body=bytes(rotten), Metadata={"md5": md5_of(plain)}
    )
    [bad] = scrub(on_s3).bad
    assert bad.restored_from is not None and bad.kept_as is not None
    with on_s3.store.local(plain.name) as restored:
        assert restored.read_bytes() == plain.read_bytes()
    with on_s3.store.local(bad.kept_as) as aside:
        assert aside.read_bytes() == bytes(rotten)


def test_the_command_tells_and_exits_with_one(
    pair: tuple[Site, Site],
    settings: Settings,
    night: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summit, _ = pair
    monkeypatch.setattr("fits_dagster.cli.scrub.load_settings", lambda home: settings)
    run = CliRunner().invoke
    assert run(cli, ["scrub", "--site", "summit"]).exit_code == 2
    assert run(cli, ["scrub", "--site", "summit", "--all"]).exit_code == 0
    rot(store_of(summit) / night[0].name)
    said = run(cli, ["scrub", "--site", "summit", "--night", "20251123", "--dry-run"])
    assert (said.exit_code, "altered" in said.output) == (1, True)
    told = json.loads(run(cli, ["scrub", "--site", "summit", "--all", "--json"]).output)
    assert (told["restored"], told["bad"][0]["key"]) == (1, night[0].name)
    assert run(cli, ["scrub", "--site", "summit", "--path", ""]).exit_code == 0


def test_a_night_is_compared_over_all_places_in_one_table(
    pair: tuple[Site, Site], settings: Settings, night: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    summit, archive = pair
    for site in pair:
        with site.engine.begin() as connection:
            connection.execute(text("delete from event"))
    shown = settings.with_sites(summit=summit.settings, archive=archive.settings)
    monkeypatch.setattr("fits_dagster.cli.night.load_settings", lambda home: shown)
    run = CliRunner().invoke
    told = run(cli, ["reconcile", "--night", "20251123", "--json"])
    answer = json.loads(told.output)
    assert (told.exit_code, answer["counts"]) == (0, {"complete": 3})
    places = answer["files"][0]["places"]
    md5 = md5_of(night[0])[:8]
    size = f"{night[0].stat().st_size} bytes"
    url = summit.settings.export_destinations[0]
    assert places == {"dhs": "yes", "copied": md5, "store": size, "database": md5, url: md5}
    (store_of(summit) / night[0].name).unlink()
    with (store_of(summit) / night[1].name).open("ab") as stream:
        stream.write(b"more")
    with archive.engine.begin() as connection:
        connection.execute(
            text("update diskfile set present = false where filename like :name"),
            {"name": f"{night[2].name}%"},
        )
    told = run(cli, ["reconcile", "--night", "20251123"], env={"COLUMNS": "250"})
    assert told.exit_code == 1
    for state in ("not_in_store", "different_in_store", "not_at_destination"):
        assert state in told.output
    assert run(cli, ["reconcile", "--night", "2025"]).exit_code == 2


def test_the_same_data_under_two_names_are_both_kept_and_told(
    pair: tuple[Site, Site], settings: Settings, night: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    summit, _ = pair
    twin = "N20251123S0977.fits"
    shutil.copy(night[0], store_of(summit) / twin)
    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=twin)])
    drain(summit, ingest.STAGE)
    shown = settings.with_sites(summit=summit.settings)
    monkeypatch.setattr("fits_dagster.cli.night.load_settings", lambda home: shown)
    told = CliRunner().invoke(cli, ["reconcile", "--night", "20251123"], env={"COLUMNS": "250"})
    assert f"the same data under 2 names: {night[0].name}, {twin}" in told.output
    answer = json.loads(CliRunner().invoke(cli, ["reconcile", "--night", "20251123", "--json"]).output)
    assert answer["same_content"] == [[night[0].name, twin]]


@pytest.mark.parametrize(
    ("path", "name"), [("quarantine", "x.fits"), ("Quarantine/a", "x.fits"), ("", "quarantine")]
)
def test_nothing_is_uploaded_to_where_bad_files_are_kept(archive: Site, path: str, name: str) -> None:
    with pytest.raises(ReservedPathError):
        Reception(archive, path, name)
