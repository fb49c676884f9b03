"""Queueing known files by hand for export, previews and associations."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import text

from fits_dagster.cli import cli
from fits_dagster.ledger.loop import drain
from fits_dagster.requeue.rescan import rescan
from fits_dagster.requeue.versions import VersionRequest, queue_versions
from fits_dagster.sites import Site
from fits_dagster.stages import ingest


def stocked(site: Site, night: list[Path]) -> list[str]:
    """Three files at the top and one in a directory, ingested; no work is left."""
    assert site.settings.store_directory is not None
    root = site.settings.store_directory
    (root / "products").mkdir()
    for source in night[:3]:
        shutil.copy(source, root)
    shutil.copy(night[3], root / "products")
    rescan(site)
    rescan(site, "products")
    assert drain(site, ingest.STAGE).done == 4
    with site.engine.begin() as connection:
        connection.execute(text("delete from work_item"))
    return [*(source.name for source in night[:3]), f"products/{night[3].name}"]


def queued(site: Site) -> list[Any]:
    with site.engine.connect() as connection:
        return list(
            connection.execute(
                text("select stage, path, filename, destination, subject_id, priority from work_item")
            )
        )


def test_present_files_are_queued_for_every_destination_with_their_own_paths(
    summit: Site, night: list[Path]
) -> None:
    keys = stocked(summit, night)
    request = VersionRequest(destinations=("http://one", "http://two"))
    assert sorted(queue_versions(summit, "export", request)) == sorted(keys)
    found = queued(summit)
    assert len(found) == 8
    assert {(row.path, row.destination) for row in found if row.filename == night[3].name} == {
        ("products", "http://one"),
        ("products", "http://two"),
    }


def test_associations_and_previews_are_queued_with_the_row_that_they_are_about(
    archive: Site, night: list[Path]
) -> None:
    stocked(archive, night)
    name = night[0].name
    assert queue_versions(archive, "associate", VersionRequest(names=[name], background=True)) == [name]
    assert queue_versions(archive, "preview", VersionRequest(file_re="S000[12]", path="")) != []
    with archive.engine.connect() as connection:
        header = connection.scalar(
            text(
                "select h.id from header h join diskfile d on d.id = h.diskfile_id where d.filename = :name"
            ),
            {"name": name},
        )
    [association] = [row for row in queued(archive) if row.stage == "associate"]
    assert (association.subject_id, association.priority) == (header, -1)


def test_only_files_without_a_preview(archive: Site, night: list[Path]) -> None:
    stocked(archive, night)
    with archive.engine.begin() as connection:
        connection.execute(
            text("insert into preview (diskfile_id, filename) select min(id), 'x.jpg' from diskfile")
        )
    assert len(queue_versions(archive, "preview", VersionRequest(only_missing=True), dry_run=True)) == 3
    assert queued(archive) == []


@pytest.mark.parametrize(
    ("stage", "request_", "message"),
    [
        ("export", VersionRequest(), "no stage export"),
        ("ingest", VersionRequest(), "not made from files that the database knows"),
        ("preview", VersionRequest(destinations=("http://nowhere",)), "sends nothing to a destination"),
        ("associate", VersionRequest(only_missing=True), "cannot tell which files"),
        (
            "associate",
            VersionRequest(selection="GMOS-N/nonsense"),
            "not understood in the selection: nonsense",
        ),
        ("preview", VersionRequest(file_re="("), "no regular expression"),
    ],
)
def test_what_cannot_be_done_is_said(
    archive: Site, stage: Any, request_: VersionRequest, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        queue_versions(archive, stage, request_)


@pytest.mark.parametrize("command", [["add-to-calcache-queue"], ["queue", "add", "associate"]])
def test_the_command_asks_which_files(command: list[str]) -> None:
    answer = CliRunner().invoke(cli, command)
    assert answer.exit_code == 2
    assert "say which files" in answer.output


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("add-to-export-queue", {"--destination"}),
        ("add-to-preview-queue", {"--missing"}),
        ("add-to-calcache-queue", {"--include-eng", "--ignore-mdbad"}),
    ],
)
def test_commands_of_stages_keep_their_names_and_options(command: str, own: set[str]) -> None:
    common = (
        "--file-re --path --filename --listfile --selection --instrument --lastdays --all --after "
        "--background --dry-run --debug --demon --site --home"
    )
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    assert {option for each in found.params for option in each.opts} == {*common.split(), *own}
    assert command in cli.list_commands(click.Context(cli))
