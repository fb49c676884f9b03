"""The archive's stages on an S3 store over HTTP: store, ingest, preview."""

from __future__ import annotations

import bz2
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from fits_dagster.intake.uploads import Reception
from fits_dagster.ledger.batches import drain_once
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
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


@pytest.fixture
def fetched(on_s3: Site) -> list[str]:
    """Keys of what is fetched from the bucket."""
    assert isinstance(on_s3.store, S3Store)
    keys: list[str] = []
    on_s3.store.client.meta.events.register(
        "provide-client-params.s3.GetObject", lambda params, **_: keys.append(params["Key"])
    )
    return keys


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


def test_an_upload_is_not_fetched_and_a_stored_file_once(
    on_s3: Site, fetched: list[str], night: list[Path]
) -> None:
    upload(on_s3, night[0])
    for stage in (store.STAGE, ingest.STAGE, preview.STAGE):
        assert drain(on_s3, stage).done == 1
    assert fetched == []
    on_s3.store.put(night[1], night[1].name)
    with on_s3.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=night[1].name)])
    for stage in (ingest.STAGE, preview.STAGE):
        assert drain(on_s3, stage).done == 1
    assert fetched == [night[1].name]


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_what_was_damaged_on_its_way_is_fetched_again_and_not_refused(
    on_s3: Site, night: list[Path], share: float
) -> None:
    content = night[0].read_bytes()
    damaged = content[: int(len(content) * share) - 1] + b"x"
    assert isinstance(on_s3.store, S3Store)
    on_s3.store.client.put_object(
        Bucket=on_s3.settings.s3.bucket,
        Key=night[0].name,
        Body=damaged,
        Metadata={"md5": hashlib.md5(content).hexdigest()},
    )
    with on_s3.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=night[0].name)])
    report = DrainReport("ingest")
    drain_once(on_s3, ingest.STAGE, report)
    assert report.failures == []
    [retried] = report.retrying
    assert retried.reason == "checksum_mismatch"


def test_an_ingest_looks_at_an_object_once_and_fetches_it_once(on_s3: Site, night: list[Path]) -> None:
    assert isinstance(on_s3.store, S3Store)
    on_s3.store.put(night[0], night[0].name)
    with on_s3.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=night[0].name)])
    asked: list[str] = []
    on_s3.store.client.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
    assert drain(on_s3, ingest.STAGE).done == 1
    assert asked == ["HeadObject", "GetObject"]
