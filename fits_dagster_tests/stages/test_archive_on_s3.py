"""The archive's stages on an S3 store over HTTP: store, ingest, preview."""

from __future__ import annotations

import bz2
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from fits_dagster.intake.uploads import Reception
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import ingest, preview, store
from fits_dagster.storage import S3Store


@pytest.fixture
def on_s3(archive: Site, with_bucket: Callable[[Site], Site]) -> Site:
    """The archive with a bucket."""
    return with_bucket(archive)


def upload(site: Site, source: Path) -> None:
    reception = Reception(site, "", f"{source.name}.bz2")
    reception.write(bz2.compress(source.read_bytes()))
    reception.finish()


def test_an_upload_becomes_an_object_a_record_and_a_preview(on_s3: Site, night: list[Path]) -> None:
    upload(on_s3, night[0])
    assert drain(on_s3, store.STAGE).outcomes == {"stored": 1}
    key = f"{night[0].name}.bz2"
    assert isinstance(on_s3.store, S3Store)
    head = on_s3.store.client.head_object(Bucket=on_s3.settings.s3.bucket, Key=key)
    assert drain(on_s3, ingest.STAGE).outcomes == {"ingested": 1}
    with on_s3.engine.connect() as connection:
        row = connection.execute(text("select file_md5, compressed from diskfile")).one()
    assert (row.file_md5, row.compressed) == (head["Metadata"]["md5"], True)
    assert drain(on_s3, preview.STAGE).outcomes == {"rendered": 1}
    assert on_s3.store.stat(f"previews/{night[0].stem}.jpg") is not None
    # the same upload again: times mean nothing on S3, the MD5 decides, and nothing is fetched
    upload(on_s3, night[0])
    drain(on_s3, store.STAGE)
    assert drain(on_s3, ingest.STAGE).outcomes == {"unchanged": 1}
