"""An archive whose store is S3, for the tests of the stages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from fits_dagster.dataflow.site import Site
from fits_dagster.settings import S3Settings
from fits_dagster.storage import S3Store, open_store


@pytest.fixture
def with_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Site], Site]]:
    """Give a site a fresh bucket for its store, on an S3 server on the loop-back interface."""
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()

    def give(site: Site) -> Site:
        # servers of one process share their buckets
        s3 = S3Settings(bucket=f"fits-archive-{os.getpid()}-{port}", endpoint_url=f"http://{host}:{port}")
        settings = site.settings.model_copy(update={"store": "s3", "s3": s3})
        opened = open_store(settings)
        assert isinstance(opened, S3Store)
        place = {"LocationConstraint": s3.region}
        opened.client.create_bucket(Bucket=s3.bucket, CreateBucketConfiguration=place)
        return replace(site, settings=settings, store=opened)

    yield give
    server.stop()
