"""Upkeep: what is missing is noticed, only what is safe elsewhere is removed, old records go."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from fits_dagster.checks.reconcile import night_reports
from fits_dagster.cli import cli
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.requeue.rescan import rescan
from fits_dagster.sites import Site
from fits_dagster.stages import copy, ingest
from fits_dagster.upkeep.pruning import prune_records, vacuum
from fits_dagster.upkeep.removal import RemovalRequest, remove_files
from fits_dagster.upkeep.roll_call import roll_call
from fits_dagster_tests.builders.flow import carry, store_of

NIGHT = "20251123"


def flags(site: Site) -> dict[str, tuple[bool, bool]]:
    with site.engine.connect() as connection:
        rows = connection.execute(text("select filename, present, canonical from diskfile order by id"))
        return {name: (present, canonical) for name, present, canonical in rows}


@pytest.fixture
def stocked(summit: Site, night: list[Path]) -> Site:
    """A summit with five ingested files."""
    for source in night[:5]:
        shutil.copy(source, store_of(summit))
    rescan(summit)
    assert drain(summit, ingest.STAGE).done == 5
    return summit


@pytest.fixture
def arrived(connected_summit: Site, archive: Site, night: list[Path]) -> Site:
    """A summit whose four files have all come from the DHS and are at the archive."""
    carry(connected_summit, archive, night[:4])
    return connected_summit


def test_a_missing_file_is_no_longer_present_and_stays_current(stocked: Site, night: list[Path]) -> None:
    (store_of(stocked) / night[1].name).unlink()
    assert roll_call(stocked, dry_run=True).missing == [night[1].name]
    assert flags(stocked)[night[1].name] == (True, True)
    report = roll_call(stocked)
    assert (report.called, report.missing, report.complete) == (5, [night[1].name], True)
    assert flags(stocked)[night[1].name] == (False, True)
    assert flags(stocked)[night[0].name] == (True, True)


def test_a_name_that_would_be_refused_today_holds_no_roll_call_up(stocked: Site, night: list[Path]) -> None:
    with stocked.engine.begin() as connection:
        connection.execute(
            text("update diskfile set filename = '-' || filename where filename = :name"),
            {"name": night[0].name},
        )
    (store_of(stocked) / night[1].name).unlink()
    report = roll_call(stocked)
    assert (report.called, report.unread, report.missing) == (5, [f"-{night[0].name}"], [night[1].name])
    assert flags(stocked)[f"-{night[0].name}"] == (True, True)


def test_limited_calls_take_turns_and_begin_anew_at_the_end(stocked: Site) -> None:
    rounds = [roll_call(stocked, limit=2) for _ in range(4)]
    assert [report.called for report in rounds] == [2, 2, 1, 2]
    assert [report.complete for report in rounds] == [False, False, True, False]


def test_altered_bytes_are_told_and_nothing_is_changed(stocked: Site, night: list[Path]) -> None:
    path = store_of(stocked) / night[2].name
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[-3000] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert roll_call(stocked).altered == []
    assert roll_call(stocked, check_md5=True).altered == [night[2].name]
    assert flags(stocked)[night[2].name] == (True, True)


def test_a_store_that_is_not_mounted_does_not_lose_everything(stocked: Site) -> None:
    for path in store_of(stocked).iterdir():
        path.unlink()
    with pytest.raises(OSError, match="is it mounted"):
        roll_call(stocked)
    assert all(present for present, _ in flags(stocked).values())


def test_nothing_is_removed_without_being_told_to(arrived: Site) -> None:
    report = remove_files(arrived, RemovalRequest(), who="anna")
    assert len(report.removed) == 4
    assert len(list(store_of(arrived).glob("*.fits"))) == 4


def test_what_the_archive_holds_is_removed_and_not_copied_again(arrived: Site, archive: Site) -> None:
    report = remove_files(arrived, RemovalRequest(most_files=3), who="anna", dry_run=False)
    assert len(report.removed) == 3
    assert len(list(store_of(arrived).glob("*.fits"))) == 1
    assert [flags(arrived)[name] for name in report.removed] == [(False, True)] * 3
    # the DHS still has them; they are known, and neither copied nor ingested again, and nobody misses them
    assert copy.scan_dhs(arrived) == []
    assert rescan(arrived).changed == 0
    [told] = night_reports(arrived, [NIGHT])
    assert told.counts == {"complete": 4}
    with arrived.engine.connect() as connection:
        assert (
            connection.scalar(text("select count(*) from audit where action = 'remove' and who = 'anna'"))
            == 3
        )


def reasons(site: Site, **options: Any) -> dict[str, int]:
    report = remove_files(site, RemovalRequest(**options), who="anna", dry_run=False)
    return {reason: len(keys) for reason, keys in report.kept.items()}


def test_what_is_not_safe_is_kept_with_the_reason(arrived: Site, archive: Site, night: list[Path]) -> None:
    url = arrived.settings.export_destinations[0]
    with archive.engine.begin() as connection:
        connection.execute(
            text("update diskfile set present = false where filename like :name"),
            {"name": f"{night[0].name}%"},
        )
        connection.execute(
            text("update diskfile set data_md5 = 'x' where filename like :name"),
            {"name": f"{night[1].name}%"},
        )
    with arrived.engine.begin() as connection:
        add_work(connection, [NewWork(stage="export", filename=night[2].name, destination=url)])
    os.utime(store_of(arrived) / night[3].name, (1e9, 1e9))
    assert reasons(arrived) == {
        f"{url} has no version": 1,
        f"{url} has another content": 1,
        "on a queue": 1,
        "changed since it was ingested": 1,
    }
    assert len(list(store_of(arrived).glob("*.fits"))) == 4


def test_removal_stops_when_both_targets_are_met(arrived: Site) -> None:
    report = remove_files(arrived, RemovalRequest(target_files=2, target_free_gb=0), who="anna")
    assert len(report.removed) == 2
    report = remove_files(arrived, RemovalRequest(target_files=4, target_free_gb=1e9), who="anna")
    assert len(report.removed) == 4, "few enough files, but not enough space"


def test_a_site_that_sends_nothing_removes_nothing(archive: Site) -> None:
    with pytest.raises(ValueError, match="sends its files nowhere"):
        remove_files(archive, RemovalRequest(), who="anna")


def test_old_records_are_pruned_and_recent_ones_kept(stocked: Site) -> None:
    with stocked.engine.begin() as connection:
        connection.execute(text("update event set at = now() - interval '500 days' where id % 2 = 0"))
        old = connection.scalar(text("select count(*) from event where at < now() - interval '400 days'"))
        every = connection.scalar(text("select count(*) from event"))
    assert old and every
    assert prune_records(stocked, 400.0)["event"] == old
    with stocked.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from event")) == every - old


@pytest.mark.usefixtures("arrived")
def test_old_uploads_are_pruned_once_they_are_stored(archive: Site) -> None:
    with archive.engine.begin() as connection:
        ids = connection.scalars(text("select id from upload order by id")).all()
        assert len(ids) == 4
        aged = text("update upload set received_at = now() - interval '500 days' where id < :id")
        connection.execute(aged, {"id": ids[3]})
        connection.execute(text("update upload set stored_at = null where id = :id"), {"id": ids[1]})
    assert prune_records(archive, 400.0)["upload"] == 2
    with archive.engine.connect() as connection:
        assert connection.scalars(text("select id from upload order by id")).all() == [ids[1], ids[3]]


def test_vacuum_analyses_what_has_changed_by_more_than_a_fiftieth(stocked: Site) -> None:
    with stocked.engine.connect() as connection:
        connection.execute(text("select pg_stat_force_next_flush()"))
    assert {"public.header", "public.event"} <= set(vacuum(stocked))
    assert vacuum(stocked) == []
    with stocked.engine.begin() as connection:
        connection.execute(text("insert into file (name) select 'X' || n from generate_series(1, 1000) n"))
        connection.execute(text("select pg_stat_force_next_flush()"))
    assert vacuum(stocked) == ["public.file"]
    for number, analysed in ((10, []), (20, ["public.file"])):
        with stocked.engine.begin() as connection:
            renamed = "update file set name = name || 'Y' where id in (select id from file limit :number)"
            connection.execute(text(renamed), {"number": number})
            connection.execute(text("select pg_stat_force_next_flush()"))
        assert vacuum(stocked) == analysed


def test_commands_have_help_and_refuse_a_home_without_a_database(tmp_path: Path) -> None:
    for name in ("roll-call", "remove-files", "prune", "vacuum"):
        assert CliRunner().invoke(cli, ["upkeep", name, "--help"]).exit_code == 0
    answer = CliRunner().invoke(cli, ["upkeep", "vacuum", "--home", str(tmp_path / "none")])
    assert answer.exit_code != 0
