"""A summit and an archive between which header edits travel, and what is done at either."""

from __future__ import annotations

import bz2
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import text

from fits_dagster.headers.updates import update_headers
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.sites import Site
from fits_dagster.stages import edit, export, ingest, store

API = "another-secret-of-the-tests"
PASS = {"qa_state": "pass"}


def with_settings(site: Site, **changes: object) -> Site:
    return replace(site, settings=site.settings.model_copy(update=changes))


def connected(summit: Site, url: str) -> Site:
    return with_settings(summit, export_destinations=(url,), export_api_cookie=SecretStr(API))


def have(site: Site, source: Path, name: str | None = None) -> Path:
    """Put a file into the dataflow directory and ingest it."""
    assert site.settings.store_directory is not None
    target = site.settings.store_directory / (name or source.name)
    if target.suffix == ".bz2":
        target.write_bytes(bz2.compress(source.read_bytes()))
    else:
        shutil.copy(source, target)
    with site.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=target.name, no_defer=True)])
    assert drain(site, ingest.STAGE).done == 1
    return target


def ask(site: Site, path: Path, values: dict[str, Any]) -> None:
    [answer] = update_headers(site, [{"filename": path.name, "values": values}], asked_by="test")
    assert answer["result"], answer


def edited(site: Site) -> None:
    assert drain(site, edit.STAGE).failures == []
    assert drain(site, ingest.STAGE).failures == []


def exported(site: Site, stage: export.ExportStage | None = None) -> DrainReport:
    report = drain(site, stage or export.ExportStage())
    assert report.failures == []
    return report


def arrived(site: Site) -> None:
    assert drain(site, store.STAGE).failures == []
    assert drain(site, ingest.STAGE).failures == []


def present_md5(site: Site, name: str) -> str | None:
    with site.engine.connect() as connection:
        md5: str | None = connection.scalar(
            text("select d.data_md5 from diskfile d join file f on f.id = d.file_id "
                 "where f.name = :name and d.present"),
            {"name": name},
        )  # fmt: skip
    return md5


def staged(site: Site) -> list[Path]:
    assert site.settings.staging_directory is not None
    files = (p for p in site.settings.staging_directory.rglob("*") if p.is_file())
    # a preview that ingest has drawn waits for its stage
    return [p for p in files if p.parent.name != "sketches"]
