"""The archive's stages on an S3 store over HTTP: store, ingest, preview."""

from __future__ import annotations

import bz2
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from fits_dagster.dataflow import ingest, preview, store
from fits_dagster.dataflow.drain import drain
from fits_dagster.dataflow.receive import Reception
from fits_dagster.dataflow.site import Site
from fits_dagster.settings import S3Settings
from fits_dagster.storage import S3Store, open_store

BUCKET = "fits-archive"


@pytest.fixture
def on_s3(archive: Site) -> Iterator[Site]:
    """The archive with a bucket."""
    from moto.server import ThreadedMotoServer

    os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    s3 = S3Settings(bucket=BUCKET, endpoint_url=f"http://{host}:{port}")
    settings = archive.settings.model_copy(update={"store": "s3", "s3": s3})
    opened = open_store(settings)
    assert isinstance(opened, S3Store)
    opened.client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.region})
    yield replace(archive, settings=settings, store=opened)
    server.stop()


def upload(site: Site, source: Path) -> None:
    reception = Reception(site, "", f"{source.name}.bz2")
    reception.write(bz2.compress(source.read_bytes()))
    reception.finish()


def test_an_upload_becomes_an_object_a_record_and_a_preview(on_s3: Site, night: list[Path]) -> None:
    upload(on_s3, night[0])
    assert drain(on_s3, store.STAGE).outcomes == {"stored": 1}
    key = f"{night[0].name}.bz2"
    assert isinstance(on_s3.store, S3Store)
    head = on_s3.store.client.head_object(Bucket=BUCKET, Key=key)
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
