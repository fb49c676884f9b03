"""Queueing for ingest by hand: what is chosen, with which path, and what is said of the rest."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from fits_dagster.cli import cli
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.management import Selection, cancel_items, find_items, pause_stage, resume_stage
from fits_dagster.requeue.chosen_names import name_matcher
from fits_dagster.requeue.files import IngestRequest, queue_for_ingest
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.stages import ingest


@pytest.mark.parametrize(
    ("word", "name", "chosen"),
    [
        ("today", "N20160318S0001.fits", True),
        ("today", "N20160317S0001.fits", False),
        ("twoday", "N20160317S0001.fits", True),
        ("fourday", "20160315_GN-2016A-Q-1_obslog.txt", True),
        ("fourday", "N20160314S0001.fits", False),
        ("twentyday", "S20160228S0001.fits", True),
        (r"S000[12]", "N20160318S0002.fits", True),  # searched, not anchored
        (r"^S", "N20160318S0002.fits", False),
    ],
)
def test_names_are_chosen_by_expressions_and_by_utc_days(word: str, name: str, chosen: bool) -> None:
    assert name_matcher(word, datetime(2016, 3, 18, 12, tzinfo=UTC))(name) is chosen


def test_a_bad_expression_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        name_matcher("(")


@pytest.fixture
def stocked(summit: Site, night: list[Path]) -> Site:
    """A summit with two files at the root and one in a directory, all ingested."""
    assert summit.settings.store_directory is not None
    root = summit.settings.store_directory
    (root / "masks").mkdir()
    for source, path in zip(night[:3], ("", "", "masks"), strict=True):
        shutil.copy(source, root / path / source.name)
    (root / "N20251123S0777.fits.tmp-1").write_text("half")
    for path in ("", "masks"):
        queue_for_ingest(summit, IngestRequest(path=path))
    assert drain(summit, ingest.STAGE).done == 3
    with summit.engine.begin() as connection:
        connection.execute(text("delete from work_item"))
    return summit


def queued(site: Site) -> list[Any]:
    with site.engine.connect() as connection:
        return [
            tuple(row)
            for row in connection.execute(
                text(
                    "select path, filename, force, force_md5, not_before > now() from work_item order by 1, 2"
                )
            )
        ]


def test_an_unchanged_directory_queues_nothing_and_force_queues_all(stocked: Site, night: list[Path]) -> None:
    report = queue_for_ingest(stocked, IngestRequest())
    assert (report.looked_at, report.queued) == (2, [])
    queue_for_ingest(stocked, IngestRequest(force=True, file_re=night[0].stem))
    assert queued(stocked) == [("", night[0].name, True, False, False)]


def test_a_dry_run_only_tells(stocked: Site) -> None:
    assert len(queue_for_ingest(stocked, IngestRequest(force=True), dry_run=True).queued) == 2
    assert queued(stocked) == []


def test_a_list_keeps_the_paths_of_its_names_and_names_what_is_not_there(
    stocked: Site, night: list[Path]
) -> None:
    names = [night[0].name, f"masks/{night[2].name}", "N19990101S0001.fits", "notes.txt"]
    report = queue_for_ingest(stocked, IngestRequest(listed=names))
    assert report.missing == ["N19990101S0001.fits"]
    assert [(path, name) for path, name, *_ in queued(stocked)] == [
        ("", night[0].name),
        ("masks", night[2].name),
    ]


def test_a_selection_uses_the_paths_of_the_database(stocked: Site, night: list[Path]) -> None:
    report = queue_for_ingest(stocked, IngestRequest(selection="path=masks"))
    assert report.queued == [f"masks/{night[2].name}"]


def test_a_later_time_and_an_age_are_kept_to(stocked: Site) -> None:
    after = datetime.now(UTC) + timedelta(hours=1)
    queue_for_ingest(stocked, IngestRequest(force_md5=True, after=after, newer_than_days=1))
    assert [(md5, later) for _, _, _, md5, later in queued(stocked)] == [(True, True)] * 2
    assert queue_for_ingest(stocked, IngestRequest(force=True, newer_than_days=0)).queued == []


def test_a_paused_stage_takes_nothing_and_loses_nothing(stocked: Site) -> None:
    queue_for_ingest(stocked, IngestRequest(force=True))
    with stocked.engine.begin() as connection:
        pause_stage(connection, "ingest", who="test")
    assert drain(stocked, ingest.STAGE).done == 0
    with stocked.engine.begin() as connection:
        assert resume_stage(connection, "ingest", who="test")
    assert drain(stocked, ingest.STAGE).done == 2


def test_items_are_found_and_cancelled_by_what_they_are(stocked: Site, night: list[Path]) -> None:
    queue_for_ingest(stocked, IngestRequest(force=True))
    with stocked.engine.begin() as connection:
        assert len(find_items(connection, Selection(stage="ingest", night="20251123"))) == 2
        assert find_items(connection, Selection(state="failed")) == []
        assert cancel_items(connection, Selection(pattern=night[0].stem), who="test") == 1
    assert [name for _, name, *_ in queued(stocked)] == [night[1].name]


def test_what_was_done_by_hand_is_told_by_the_command(
    stocked: Site, archive: Site, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_for_ingest(stocked, IngestRequest(force=True))
    with stocked.engine.begin() as connection:
        pause_stage(connection, "export", who="olga")
        assert cancel_items(connection, Selection(stage="ingest"), who="anna") == 2

    def told(*options: str) -> list[tuple[str, str, str]]:
        result = CliRunner().invoke(cli, ["audit", "--json", *options])
        assert result.exit_code == 0, result.output
        return [(row["site"], row["who"], row["action"]) for row in json.loads(result.stdout)]

    monkeypatch.setattr("fits_dagster.cli.audit.load_settings", lambda home: settings)
    assert told() == [("summit", "olga", "pause"), ("summit", "anna", "cancel")]
    assert told("--who", "OLGA") == told("--about", "export") == [("summit", "olga", "pause")]
    assert told("--limit", "1") == [("summit", "anna", "cancel")]
    assert told("--since", "2100-01-01") == []


@pytest.mark.parametrize("selection", ["path=masks/mispelt", "coadds=abc"])
def test_a_selection_that_is_not_understood_queues_nothing(stocked: Site, selection: str) -> None:
    with pytest.raises(ValueError, match=r"not understood|no whole number"):
        queue_for_ingest(stocked, IngestRequest(selection=selection))
    assert queue_for_ingest(stocked, IngestRequest(selection="path=nowhere/")).queued == []
